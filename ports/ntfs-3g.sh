#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# libntfs-3g without its device layer (unix_io.c): fs/ defines ntfs_device_unix_io_ops. The tarball
# has no configure, so config.h is ours. The headers of ntfsresize (ntfsprogs/) come along.
. "$(dirname "$0")/common.sh"

cat >config.h <<'END'
#define PACKAGE "ntfs-3g"
#define VERSION "2022.10.3"
#define STDC_HEADERS 1
#define WORDS_LITTLEENDIAN 1
#define XATTR_MAPPINGS 1
#define MAJOR_IN_SYSMACROS 1
#define HAVE_CTYPE_H 1
#define HAVE_DAEMON 1
#define HAVE_ENDIAN_H 1
#define HAVE_ERRNO_H 1
#define HAVE_FCNTL_H 1
#define HAVE_FFS 1
#define HAVE_INTTYPES_H 1
#define HAVE_LIMITS_H 1
#define HAVE_LINUX_HDREG_H 1
#define HAVE_LOCALE_H 1
#define HAVE_MBSINIT 1
#define HAVE_MEMORY_H 1
#define HAVE_STDARG_H 1
#define HAVE_STDDEF_H 1
#define HAVE_STDINT_H 1
#define HAVE_STDIO_H 1
#define HAVE_STDLIB_H 1
#define HAVE_STRING_H 1
#define HAVE_STRINGS_H 1
#define HAVE_STRSEP 1
#define HAVE_SYS_IOCTL_H 1
#define HAVE_SYS_PARAM_H 1
#define HAVE_SYS_STAT_H 1
#define HAVE_SYS_SYSMACROS_H 1
#define HAVE_SYS_TIME_H 1
#define HAVE_SYS_TYPES_H 1
#define HAVE_TIME_H 1
#define HAVE_UNISTD_H 1
#define HAVE_WCHAR_H 1
#define HAVE_CLOCK_GETTIME 1
#define HAVE_STDBOOL_H 1
#define HAVE_GETOPT_H 1
#define HAVE_UTIME_H 1
END
# Where device.c looks for the old question about heads and sectors, which no device of ours answers.
mkdir linux
echo 'struct hd_geometry { unsigned char heads, sectors; unsigned short cylinders; unsigned long start; };' >linux/hdreg.h

flags="-std=gnu11 -w -Werror=implicit-function-declaration -DHAVE_CONFIG_H -D_FILE_OFFSET_BITS=64
    -D_GNU_SOURCE -I. -I$source/include/ntfs-3g"
files=$(ls "$source"/libntfs-3g/*.c | grep -v -e /unix_io.c -e /win32_io.c)
compile "$(echo $flags)" $files
redirect_library_symbols *.o
archive libntfs-3g.a *.o
mkdir -p "$prefix/include/ntfs-3g"
cp "$source"/include/ntfs-3g/*.h "$prefix/include/ntfs-3g/"
cp config.h "$prefix/include/ntfs-3g/config.h"
