/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/support/usb_bench.h"
#include "tests/support/usb_model_host.h"

#define BUFFER_SIZE (4u << 20)

static void key_typed(const struct usb_keyboard_sink *sink, const struct usb_key *key)
{
    struct usb_model_bench *bench = sink->context;

    if (bench->typed_count < sizeof(bench->typed) / sizeof(bench->typed[0]))
        bench->typed[bench->typed_count++] = *key;
}

int usb_model_bench_setup(void **state)
{
    struct usb_model_bench *bench = calloc(1, sizeof(*bench));

    assert_non_null(bench);
    test_platform_init(&bench->platform);
    loop_init(&bench->loop, &bench->platform.platform);
    block_registry_init(&bench->registry);
    bench->keys = (struct usb_keyboard_sink){.key = key_typed, .context = bench};
    usb_model_host_init(&bench->host, &bench->loop, &bench->registry, &bench->keys);
    assert_int_equal(buffer_allocate(&bench->platform.platform, BUFFER_SIZE, &bench->buffer), 0);
    *state = bench;
    return 0;
}

bool usb_model_bench_settle(struct usb_model_bench *bench, unsigned seconds)
{
    if (!bench->host.started)
        assert_int_equal(usb_model_host_start(&bench->host, &bench->error), 0);
    return usb_bus_wait_settled(&bench->host.bus,
                                deadline_after(&bench->platform.platform, seconds * NANOSECONDS_PER_SECOND));
}

void usb_model_bench_run(struct usb_model_bench *bench, uint64_t nanoseconds)
{
    loop_delay(&bench->loop, nanoseconds);
}

struct block_device *usb_model_bench_disk(struct usb_model_bench *bench, const char *name, unsigned seconds)
{
    if (!bench->host.started)
        assert_int_equal(usb_model_host_start(&bench->host, &bench->error), 0);
    return usb_bench_disk(&bench->loop, &bench->registry, name, seconds);
}

bool usb_model_bench_no_disk(struct usb_model_bench *bench, const char *name, unsigned seconds)
{
    return usb_bench_no_disk(&bench->loop, &bench->registry, name, seconds);
}

int usb_model_bench_teardown(void **state)
{
    struct usb_model_bench *bench = *state;

    usb_model_host_stop(&bench->host);
    assert_null(bench->registry.first);
    if (bench->host.violations)
        print_error("a rule of the host was broken: %s\n", bench->host.violation);
    assert_int_equal(bench->host.violations, 0);
    assert_int_equal(usb_bench_violations(bench->host.ports, USB_MODEL_HOST_PORTS), 0);
    buffer_release(&bench->buffer);
    test_platform_end(&bench->platform);
    free(bench);
    return 0;
}
