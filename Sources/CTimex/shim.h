// SPDX-License-Identifier: MIT
// Swift's module for the C library leaves sys/timex.h out.
#include <sys/timex.h>

// Whether the kernel takes the clock for synchronised: 1 or 0; -1 when it does not tell. Changes nothing.
static inline int altnet_clock_is_synchronised(void) {
    struct timex state = {0};
    return adjtimex(&state) < 0 ? -1 : (state.status & STA_UNSYNC) == 0;
}
