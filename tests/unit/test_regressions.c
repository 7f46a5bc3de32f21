/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every input that ever made a fuzzing target fail, once more: tests/fuzz/regressions/TARGET/. Those whose names begin with
 * "accepted" have to be taken for whole, which shows that the target still reaches what it is for.
 */
#define _GNU_SOURCE
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SECONDS 60

static void replay(const struct fuzz_target *target, const char *folder, const char *name)
{
    static uint8_t bytes[1 << 20];
    char path[512];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "r");
    if (!file)
        _exit(2);
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    fprintf(stderr, "# %s\n", path);
    fuzz_accepted = false;
    target->run(bytes, size);
    if (strncmp(name, "accepted", 8) == 0)
        fuzz_require(fuzz_accepted);
}

/* In a process of its own, for file systems are registered once and for all, and a crash should not hide the others. */
static void test_target(void **state)
{
    const struct fuzz_target *target = *state;
    char folder[256];
    struct dirent **names;

    snprintf(folder, sizeof folder, "tests/fuzz/regressions/%s", target->name);
    int count = scandir(folder, &names, NULL, alphasort), status, inputs = 0;
    assert_true(count > 0);
    pid_t child = fork();
    assert_true(child >= 0);
    for (int i = 0; i < count; i++) {
        bool input = names[i]->d_name[0] != '.';

        inputs += input;
        if (child == 0) {
            alarm(SECONDS);
            if (input)
                replay(target, folder, names[i]->d_name);
        }
        free(names[i]);
    }
    if (child == 0)
        _exit(0);
    free(names);
    assert_true(waitpid(child, &status, 0) == child);
    assert_true(inputs > 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
#define TARGET(name)                                                                                                   \
    {                                                                                                                  \
#name, test_target, NULL, NULL, (void *)(uintptr_t)fuzz_find(#name)                                            \
    }
    const struct CMUnitTest tests[] = {
        TARGET(image), TARGET(partition),      TARGET(fat),     TARGET(exfat), TARGET(ext),
        TARGET(ntfs),  TARGET(swap_recognise), TARGET(command), TARGET(job),   TARGET(usb),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
