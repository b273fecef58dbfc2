// SPDX-License-Identifier: MIT
#include <zmq.h>
