/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Clone: disk -> slots -> hashed -> disk, read back, the tables last. */
#include "core/job_internal.h"

int job_clone(struct job *job, struct error *error)
{
    int status = job_open_pipeline(job, 0);

    if (!status)
        status = job_source_open(job, PIPELINE_DIGEST, error);
    if (!status)
        status = job_write_target(job, job_source_pump, error);
    job_target_close(job);
    job_source_close(job);
    job_close_pipeline(job);
    return status;
}
