#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Judges block headers with libbitcoinkernel, Bitcoin Core's own code, on regtest.

Standard input: sequences of headers, one header of 160 hexadecimal digits in a line, sequences separated by empty lines.
Standard output: for every header one line "accept", "missing-prev", "time-future" or "invalid"; for the end of every
sequence an empty line. Every sequence begins with genesis alone, in a data directory of its own that is removed again.

The kernel reads the real clock. Needs the package py-bitcoinkernel 0.1.0a5 (`pip install py-bitcoinkernel==0.1.0a5`):
its library has an alpha ABI, so other versions may not do. `--check` only tells whether it can be loaded.
"""

import ctypes
import sys
import tempfile

import pbk.capi.bindings as k

REGTEST = 4
# btck_BlockValidationResult
VERDICTS = {0: "accept", 3: "invalid", 5: "missing-prev", 7: "time-future"}


class Kernel:
    """A regtest chain state in a directory of its own."""

    def __init__(self, context: object) -> None:
        self.directory = tempfile.TemporaryDirectory(prefix="altnet-kernel-")
        path = self.directory.name.encode()
        blocks = path + b"/blocks"
        options = k.btck_chainstate_manager_options_create(context, path, len(path), blocks, len(blocks))
        k.btck_chainstate_manager_options_update_block_tree_db_in_memory(options, 1)
        k.btck_chainstate_manager_options_update_chainstate_db_in_memory(options, 1)
        self.manager = k.btck_chainstate_manager_create(options)
        k.btck_chainstate_manager_options_destroy(options)
        if not self.manager:
            raise RuntimeError("libbitcoinkernel cannot create a chain state")

    def judge(self, raw: bytes) -> str:
        header = k.btck_block_header_create(raw, len(raw))
        state = k.btck_block_validation_state_create()
        try:
            status = k.btck_chainstate_manager_process_block_header(self.manager, header, state)
            result = int(k.btck_block_validation_state_get_block_validation_result(state))
            return "accept" if status == 0 else VERDICTS.get(result, f"invalid-{result}")
        finally:
            k.btck_block_validation_state_destroy(state)
            k.btck_block_header_destroy(header)

    def close(self) -> None:
        k.btck_chainstate_manager_destroy(self.manager)
        self.directory.cleanup()


def main() -> None:
    try:
        k.btck_logging_disable()
    except AttributeError:
        pass
    parameters = k.btck_chain_parameters_create(REGTEST)
    options = k.btck_context_options_create()
    k.btck_context_options_set_chainparams(options, parameters)
    context = k.btck_context_create(options)
    if not context:
        sys.exit("libbitcoinkernel cannot create a context")
    if "--check" in sys.argv[1:]:
        return
    kernel = None
    for line in sys.stdin:
        text = line.strip()
        if text:
            kernel = kernel or Kernel(context)
            print(kernel.judge(bytes.fromhex(text)))
        elif kernel:
            kernel.close()
            kernel = None
            print()
    if kernel:
        kernel.close()
        print()


if __name__ == "__main__":
    main()
