// SPDX-License-Identifier: MIT
//
// The part of libbitcoinkernel's C interface that AltNet calls, written down from the public description in Bitcoin
// Core's src/kernel/bitcoinkernel.h (master of August 2026). The library is opened at run time and never linked, so
// these are types of functions and not functions. The interface has no version and is not stable: KernelLibrary.swift
// finds out which one it met.

#include <stddef.h>
#include <stdint.h>

typedef struct altnet_btck_validation_callbacks {
    void *user_data;
    void (*user_data_destroy)(void *user_data);
    void (*block_checked)(void *user_data, void *block, const void *state);
    void (*pow_valid_block)(void *user_data, void *block, const void *entry);
    void (*block_connected)(void *user_data, void *block, const void *entry);
    void (*block_disconnected)(void *user_data, void *block, const void *entry);
} altnet_btck_validation_callbacks;

typedef struct altnet_btck_notification_callbacks {
    void *user_data;
    void (*user_data_destroy)(void *user_data);
    void (*block_tip)(void *user_data, uint8_t state, const void *entry, double progress);
    void (*header_tip)(void *user_data, uint8_t state, int64_t height, int64_t timestamp, int presync);
    void (*progress)(void *user_data, const char *title, size_t title_len, int percent, int resume_possible);
    void (*warning_set)(void *user_data, uint8_t warning, const char *message, size_t message_len);
    void (*warning_unset)(void *user_data, uint8_t warning);
    void (*flush_error)(void *user_data, const char *message, size_t message_len);
    void (*fatal_error)(void *user_data, const char *message, size_t message_len);
} altnet_btck_notification_callbacks;

typedef void *(*altnet_btck_create)(void);
typedef void (*altnet_btck_destroy)(void *object);

typedef void *(*altnet_btck_logging_connection_create)(
    void (*callback)(void *user_data, const char *message, size_t message_len), void *user_data,
    void (*user_data_destroy)(void *user_data));

typedef void *(*altnet_btck_chain_parameters_create)(uint8_t chain_type);
typedef void (*altnet_btck_context_options_set_chainparams)(void *options, const void *parameters);
typedef void (*altnet_btck_context_options_set_notifications)(
    void *options, altnet_btck_notification_callbacks callbacks);
typedef void (*altnet_btck_context_options_set_validation_interface)(
    void *options, altnet_btck_validation_callbacks callbacks);
typedef void *(*altnet_btck_context_create)(const void *options);
typedef int (*altnet_btck_context_interrupt)(void *context);

typedef void *(*altnet_btck_chainstate_manager_options_create)(
    const void *context, const char *data, size_t data_len, const char *blocks, size_t blocks_len);
typedef void (*altnet_btck_chainstate_manager_options_set_int)(void *options, int value);
typedef void *(*altnet_btck_chainstate_manager_create)(const void *options);
typedef int (*altnet_btck_chainstate_manager_import_blocks)(
    void *manager, const char **paths, size_t *lens, size_t count);
typedef const void *(*altnet_btck_chainstate_manager_get)(const void *manager);
typedef const void *(*altnet_btck_chainstate_manager_get_block_tree_entry_by_hash)(
    const void *manager, const void *hash);
typedef int (*altnet_btck_chainstate_manager_process_block)(void *manager, const void *block, int *new_block);
// Before 19 May 2026: returns 0 or -1 as an int and fills `state`. Since then: takes two arguments and returns a new
// state, or null. Called with three arguments and read as a pointer, both work where arguments and results travel in
// registers, as they do on x86-64 and AArch64.
typedef void *(*altnet_btck_chainstate_manager_process_block_header)(
    void *manager, const void *header, void *state);

typedef int32_t (*altnet_btck_height)(const void *object);
typedef const void *(*altnet_btck_chain_get_by_height)(const void *chain, int32_t height);
typedef int (*altnet_btck_chain_contains)(const void *chain, const void *entry);
typedef const void *(*altnet_btck_block_tree_entry_get_block_hash)(const void *entry);
typedef void *(*altnet_btck_get_owned)(const void *object);

typedef void *(*altnet_btck_block_hash_create)(const unsigned char *hash);
typedef void (*altnet_btck_block_hash_to_bytes)(const void *hash, unsigned char *output);
typedef int (*altnet_btck_block_header_to_bytes)(const void *header, unsigned char *output);
typedef void *(*altnet_btck_parse)(const void *bytes, size_t length);
typedef void *(*altnet_btck_block_read)(const void *manager, const void *entry);
typedef int (*altnet_btck_block_to_bytes)(
    const void *block, int (*writer)(const void *bytes, size_t size, void *user_data), void *user_data);
typedef size_t (*altnet_btck_count)(const void *object);

typedef uint8_t (*altnet_btck_validation_mode)(const void *state);
typedef uint32_t (*altnet_btck_validation_result)(const void *state);
