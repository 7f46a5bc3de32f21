/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ui/command.h"

#include <string.h>

const char command_help[] =
    "Eidolon saves a disk into one compressed image, and puts it back.\n"
    "\n"
    "  list [DISK...]            disks and partitions\n"
    "  volumes                   where images can be kept, and how much is free there\n"
    "  files FOLDER              what is in a folder of a volume\n"
    "  capture SOURCE IMAGE      save a disk or a partition into an image\n"
    "  restore IMAGE TARGET      put an image back\n"
    "  clone SOURCE TARGET       copy a disk to a disk\n"
    "  verify IMAGE [DISK]       check the image alone, or the disk against it\n"
    "  info IMAGE                what is in an image\n"
    "  measure DISK...           how fast disks read (reads only)\n"
    "  ui                        the screens: choose and watch instead of typing; on Linux\n"
    "                            ui FILE... shows files that hold disks, too\n"
    "  job check FILE            what a job file with rules would do on this PC\n"
    "  job run FILE              do it\n"
    "  job facts [FILE]          what such rules go by on this PC\n"
    "  help, version\n"
    "\n"
    "A disk or image with #N behind it means its partition N. IMAGE - is standard input or output.\n"
    "\n"
    "  --level=N        compression, 1 (fast) to 19 (small), or auto: as small as the\n"
    "                   speed of disk and target leaves time for; auto without it\n"
    "  --chunk=SIZE     64K to 4M; 1M without it\n"
    "  --split=SIZE     cut the image into files of at most SIZE (.001, .002, ...)\n"
    "  --raw            copy everything, used or not\n"
    "  --discard        discard (trim) the target's unused blocks\n"
    "  --continue       go on with a capture or restore that was cut off: what is\n"
    "                   written is kept\n"
    "  --salvage        go on at unreadable sectors or damaged parts of an image\n"
    "  --no-verify      do not read back what was written\n"
    "  --processors=N   use at most N processors\n"
    "  --machine=FILE   job check: for the PC that the file describes (see job facts)\n"
    "  --dry-run        show the plan, do nothing\n"
    "  --yes            no questions: destroy what the plan says\n"
    "  --json           output for programs: one JSON object a line\n";

static const struct {
    const char *name;
    enum command_verb verb;
    unsigned least, most; /* arguments */
    const char *form;
} verbs[] = {
    {"list", COMMAND_LIST, 0, COMMAND_ARGUMENTS_MAX, "list [DISK...]"},
    {"volumes", COMMAND_VOLUMES, 0, 0, "volumes"},
    {"files", COMMAND_FILES, 1, 1, "files FOLDER"},
    {"capture", COMMAND_CAPTURE, 2, 2, "capture SOURCE IMAGE"},
    {"restore", COMMAND_RESTORE, 2, 2, "restore IMAGE TARGET"},
    {"clone", COMMAND_CLONE, 2, 2, "clone SOURCE TARGET"},
    {"verify", COMMAND_VERIFY, 1, 2, "verify IMAGE [DISK]"},
    {"info", COMMAND_INFO, 1, 1, "info IMAGE"},
    {"measure", COMMAND_MEASURE, 1, COMMAND_ARGUMENTS_MAX, "measure DISK..."},
    {"job", COMMAND_JOB, 1, 2, "job check FILE, job run FILE, job facts [FILE]"},
    {"help", COMMAND_HELP, 0, COMMAND_ARGUMENTS_MAX, "help"},
    {"version", COMMAND_VERSION, 0, 0, "version"},
};

#define VERB_COUNT (sizeof(verbs) / sizeof(verbs[0]))

static int usage(struct error *error, const char *what, const char *word)
{
    return error_set(error, ERROR_USAGE, OPERATION_PARSE, "", ERROR_NO_BLOCK, what, word);
}

bool command_parse_size(const char *text, uint64_t *value)
{
    uint64_t result = 0;
    unsigned shift = 0;

    if (*text < '0' || *text > '9')
        return false;
    for (; *text >= '0' && *text <= '9'; text++)
        if (__builtin_mul_overflow(result, 10U, &result) ||
            __builtin_add_overflow(result, (uint64_t)(*text - '0'), &result))
            return false;
    switch (*text) {
    case 'T':
    case 't':
        shift += 10;
        __attribute__((fallthrough));
    case 'G':
    case 'g':
        shift += 10;
        __attribute__((fallthrough));
    case 'M':
    case 'm':
        shift += 10;
        __attribute__((fallthrough));
    case 'K':
    case 'k':
        shift += 10;
        text++;
        break;
    default:
        break;
    }
    if (*text || (shift && result > UINT64_MAX >> shift))
        return false;
    *value = result << shift;
    return true;
}

static const char *option_value(const char *word, const char *name)
{
    size_t length = strlen(name);

    return strncmp(word, name, length) == 0 && word[length] == '=' ? word + length + 1 : NULL;
}

static int parse_value_option(struct command *command, const char *word, struct error *error)
{
    uint64_t number = 0;
    const char *value;

    if ((value = option_value(word, "--level")) && strcmp(value, "auto") == 0) {
        command->options.level = 0;
    } else if (value) {
        if (!command_parse_size(value, &number) || number < 1 || number > 19)
            return usage(error, "%s: a level is 1 to 19, or auto", word);
        command->options.level = (int)number;
    } else if ((value = option_value(word, "--chunk"))) {
        if (!command_parse_size(value, &number) || number < IMAGE_CHUNK_MIN || number > IMAGE_CHUNK_MAX ||
            (number & (number - 1)))
            return usage(error, "%s: a chunk is a power of two from 64K to 4M", word);
        command->options.chunk_size = (uint32_t)number;
    } else if ((value = option_value(word, "--split"))) {
        /* A volume must hold at least one full segment and the header. */
        if (!command_parse_size(value, &number) || number < 80U << 20)
            return usage(error, "%s: volumes are at least 80M", word);
        command->options.split = number;
    } else if ((value = option_value(word, "--processors"))) {
        if (!command_parse_size(value, &number) || number < 1 || number > 1024)
            return usage(error, "%s: processors are 1 to 1024", word);
        command->options.processors = (unsigned)number;
    } else if ((value = option_value(word, "--machine"))) {
        command->machine = value;
    } else {
        return usage(error, "%s: no such option; 'help' lists them", word);
    }
    return 0;
}

static int parse_option(struct command *command, const char *word, struct error *error)
{
    const struct {
        const char *name;
        bool *flag;
    } flags[] = {
        {"--raw", &command->options.raw},
        {"--discard", &command->options.discard},
        {"--continue", &command->options.resume},
        {"--salvage", &command->options.salvage},
        {"--no-verify", &command->options.no_verify},
        {"--dry-run", &command->dry_run},
        {"--yes", &command->yes},
        {"--json", &command->json},
    };

    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        if (strcmp(word, flags[i].name) == 0) {
            *flags[i].flag = true;
            return 0;
        }
    }
    return parse_value_option(command, word, error);
}

int command_parse(struct command *command, int count, const char *const *words, struct error *error)
{
    size_t verb = 0;

    command->argument_count = 0;
    command->dry_run = command->yes = command->json = false;
    command->machine = NULL;
    memset(command->chosen, 0, sizeof(command->chosen));
    memset(&command->options, 0, sizeof(command->options));
    if (count < 1)
        return usage(error, "no command given; 'help' lists them%s", "");
    const char *name = words[0];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        name = "help";
    else if (strcmp(name, "--version") == 0)
        name = "version";
    while (verb < VERB_COUNT && strcmp(verbs[verb].name, name) != 0)
        verb++;
    if (verb == VERB_COUNT)
        return usage(error, "'%s' is not a command; 'help' lists them", name);
    command->verb = verbs[verb].verb;
    for (int i = 1; i < count; i++) {
        const char *word = words[i];
        if (word[0] == '-' && word[1] == '-') {
            int status = parse_option(command, word, error);
            if (status)
                return status;
        } else if (!*word) {
            return usage(error, "an empty word is not a name; the form is: %s", verbs[verb].form);
        } else if (command->argument_count == verbs[verb].most) {
            return usage(error, "too many names; the form is: %s", verbs[verb].form);
        } else {
            command->arguments[command->argument_count++] = word;
        }
    }
    if (command->argument_count < verbs[verb].least)
        return usage(error, "a name is missing; the form is: %s", verbs[verb].form);
    if (command->options.resume && command->verb != COMMAND_RESTORE && command->verb != COMMAND_CAPTURE)
        return usage(error, "--continue goes with capture and restore, not with %s", name);
    if (command->machine && (command->verb != COMMAND_JOB || !*command->machine))
        return usage(error, "--machine=FILE goes with job check, not with %s", name);
    return 0;
}

int command_parse_line(struct command *command, const char *line, struct error *error)
{
    const char *words[COMMAND_ARGUMENTS_MAX + 24];
    size_t used = 0;
    int count = 0;

    for (;;) {
        while (*line == ' ' || *line == '\t')
            line++;
        if (!*line || *line == '\r' || *line == '\n')
            break;
        if (count == (int)(sizeof(words) / sizeof(words[0])))
            return usage(error, "too many words%s", "");
        words[count++] = command->words + used;
        bool quoted = false;
        for (; *line && *line != '\r' && *line != '\n' && (quoted || (*line != ' ' && *line != '\t')); line++) {
            if (*line == '"') {
                quoted = !quoted;
                continue;
            }
            if (used + 2 > sizeof(command->words))
                return usage(error, "the line is too long%s", "");
            command->words[used++] = *line;
        }
        if (quoted)
            return usage(error, "a quotation mark is missing%s", "");
        if (used + 1 > sizeof(command->words))
            return usage(error, "the line is too long%s", "");
        command->words[used++] = 0;
    }
    return command_parse(command, count, words, error);
}

bool command_destroys(const struct command *command)
{
    return (command->verb == COMMAND_RESTORE || command->verb == COMMAND_CLONE) && !command->dry_run;
}

const char *command_verb_name(enum command_verb verb)
{
    for (size_t i = 0; i < VERB_COUNT; i++)
        if (verbs[i].verb == verb)
            return verbs[i].name;
    return "";
}

int command_split_partition(const char *text, char *name, size_t name_size, unsigned *partition, struct error *error)
{
    const char *mark = strrchr(text, '#');
    uint64_t number = 0;

    *partition = 0;
    /* A '#' with anything but digits behind it belongs to the name. */
    if (mark && mark[1] && mark[strspn(mark + 1, "0123456789") + 1] == 0) {
        if (!command_parse_size(mark + 1, &number) || number < 1 || number > PARTITION_MAX)
            return usage(error, "%s: partitions are numbered from 1 to 1024", text);
        *partition = (unsigned)number;
    } else {
        mark = text + strlen(text);
    }
    size_t length = (size_t)(mark - text);
    if (length == 0 || length >= name_size)
        return usage(error, "%s: not a name", text);
    memcpy(name, text, length);
    name[length] = 0;
    return 0;
}

enum exit_code exit_code_of(const struct error *error)
{
    switch (error->code) {
    case ERROR_NONE:
        return EXIT_CODE_DONE;
    case ERROR_CANCELLED:
        return EXIT_CODE_CANCELLED;
    case ERROR_NO_MEMORY: /* nobody's disk is to blame */
        return EXIT_CODE_OTHER;
    case ERROR_USAGE:
    case ERROR_NOT_FOUND:
    case ERROR_AMBIGUOUS:
        return EXIT_CODE_USAGE;
    case ERROR_REFUSED:
    case ERROR_EXISTS:
    case ERROR_BUSY:
        return EXIT_CODE_REFUSED;
    default:
        break;
    }
    switch (error->side) {
    case SIDE_SOURCE:
        return EXIT_CODE_SOURCE;
    case SIDE_TARGET:
        return EXIT_CODE_TARGET;
    case SIDE_IMAGE:
        return EXIT_CODE_IMAGE;
    case SIDE_NONE:
        break;
    }
    return EXIT_CODE_OTHER;
}
