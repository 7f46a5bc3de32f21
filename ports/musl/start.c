/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The part of musl's own start that remains on the bare machine: one thread, the C locale. This
 * file is compiled as one of musl's own, with its internal headers.
 */
#include "libc.h"
#include "pthread_impl.h"

#include <eidolon_musl.h>

char musl_thread_area[sizeof(struct pthread)] __attribute__((aligned(64)));

void musl_start(void)
{
    struct pthread *self = (struct pthread *)musl_thread_area;

    self->self = self;
    self->next = self->prev = self;
    self->tid = 1;
    self->detach_state = DT_JOINABLE;
    self->locale = &libc.global_locale;
    self->robust_list.head = &self->robust_list.head;
    libc.page_size = 4096;
}
