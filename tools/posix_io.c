/* SPDX-License-Identifier: GPL-2.0-or-later */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "tools/posix.h"

/* Enough to keep a few requests in flight at a disk; they sleep in the kernel most of the time. */
#define IO_THREADS 8

/*
 * The program's one pool of threads for blocking calls; they live as long as the program. A task that waits has a thread of its
 * own coming for it (threads >= waiting + running) until there are IO_THREADS, so that none stands behind a read from a
 * silent pipe.
 */
static struct {
    pthread_mutex_t mutex;
    pthread_cond_t condition;
    struct posix_task *first, **last;
    struct platform *platform;
    unsigned threads, waiting, running;
} pool = {.mutex = PTHREAD_MUTEX_INITIALIZER, .condition = PTHREAD_COND_INITIALIZER};

static void finish(struct posix_task *task)
{
    struct posix_finished *owner = task->owner;
    struct posix_task *first = atomic_load_explicit(&owner->first, memory_order_relaxed);

    do
        task->next = first;
    while (!atomic_compare_exchange_weak_explicit(&owner->first, &first, task, memory_order_release,
                                                  memory_order_relaxed));
}

static void *io_thread(void *argument)
{
    (void)argument;
    pthread_mutex_lock(&pool.mutex);
    for (;;) {
        while (!pool.first)
            pthread_cond_wait(&pool.condition, &pool.mutex);
        struct posix_task *task = pool.first;
        pool.first = task->next;
        if (!pool.first)
            pool.last = &pool.first;
        pool.waiting--;
        pool.running++;
        pthread_mutex_unlock(&pool.mutex);
        task->run(task);
        finish(task);
        pool.platform->ops->wake(pool.platform);
        pthread_mutex_lock(&pool.mutex);
        pool.running--;
    }
    return NULL;
}

static void add_thread(void)
{
    pthread_t thread;
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    if (pthread_create(&thread, NULL, io_thread, NULL) == 0) {
        pthread_detach(thread);
        pool.threads++;
    } else if (!pool.threads) {
        abort(); /* not one thread to do I/O with: the system is out of everything */
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void posix_io_submit(struct platform *platform, struct posix_task *task)
{
    pthread_mutex_lock(&pool.mutex);
    pool.platform = platform;
    task->next = NULL;
    if (!pool.first)
        pool.last = &pool.first;
    *pool.last = task;
    pool.last = &task->next;
    pool.waiting++;
    if (pool.waiting + pool.running > pool.threads && pool.threads < IO_THREADS)
        add_thread();
    pthread_mutex_unlock(&pool.mutex);
    pthread_cond_signal(&pool.condition);
}

struct posix_task *posix_finished_take(struct posix_finished *finished)
{
    if (!atomic_load_explicit(&finished->first, memory_order_relaxed))
        return NULL;
    struct posix_task *task = atomic_exchange_explicit(&finished->first, NULL, memory_order_acquire);
    struct posix_task *reversed = NULL;
    while (task) {
        struct posix_task *next = task->next;
        task->next = reversed;
        reversed = task;
        task = next;
    }
    return reversed;
}

int posix_transfer(int descriptor, bool write_it, void *data, size_t size, int64_t offset, size_t *transferred)
{
    uint8_t *at = data;
    size_t done = 0;

    *transferred = 0;
    while (done < size) {
        ssize_t moved;
        if (offset < 0)
            moved = write_it ? write(descriptor, at + done, size - done) : read(descriptor, at + done, size - done);
        else
            moved = write_it ? pwrite(descriptor, at + done, size - done, offset + (int64_t)done)
                             : pread(descriptor, at + done, size - done, offset + (int64_t)done);
        if (moved < 0 && errno == EINTR)
            continue;
        if (moved < 0) {
            *transferred = done;
            return -errno;
        }
        if (moved == 0)
            break;
        done += (size_t)moved;
    }
    *transferred = done;
    return 0;
}

enum error_code posix_error_code(int error_number)
{
    switch (error_number) {
    case 0:
        return ERROR_NONE;
    case ENOMEM:
        return ERROR_NO_MEMORY;
    case ENOENT:
    case ENOTDIR:
        return ERROR_NOT_FOUND;
    case EEXIST:
        return ERROR_EXISTS;
    case EBUSY:
        return ERROR_BUSY;
    case EROFS:
    case EACCES:
    case EPERM:
        return ERROR_WRITE_PROTECTED;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return ERROR_NO_SPACE;
    case ENODEV:
    case ENXIO:
    case ENOMEDIUM:
        return ERROR_GONE;
    case EIO:
    case EILSEQ:
    case ENODATA:
        return ERROR_MEDIUM; /* how Linux reports unrecovered sectors */
    case ECANCELED:
        return ERROR_CANCELLED;
    case ETIMEDOUT:
        return ERROR_TIMEOUT;
    case EOPNOTSUPP:
        return ERROR_UNSUPPORTED;
    default:
        return ERROR_IO;
    }
}
