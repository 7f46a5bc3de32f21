/* SPDX-License-Identifier: GPL-2.0-or-later */
#define _GNU_SOURCE
#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "tools/posix.h"
#include "ui/machine_facts.h"
#include "ui/smbios.h"

#define DMI "/sys/class/dmi/id"
#define NETWORK "/sys/class/net"
#define DMI_LIMIT (256u * 1024)

bool posix_system_text(const char *what, char *value, size_t size)
{
    static const struct {
        const char *what, *attribute;
    } texts[] = {{"serial", "product_serial"}, {"model", "product_name"},          {"vendor", "sys_vendor"},
                 {"board", "board_name"},      {"asset tag", "chassis_asset_tag"}, {"uuid", "product_uuid"},
                 {"firmware", "bios_version"}};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (strcmp(texts[i].what, what) != 0)
            continue;
        posix_attribute(DMI, texts[i].attribute, value, size);
        return *value;
    }
    return false;
}

/* Of cards, not of bridges, tunnels and the like: these have no device below. */
static void find_addresses(struct machine_facts *facts)
{
    struct dirent **entries = NULL;
    int count = scandir(NETWORK, &entries, NULL, alphasort);

    for (int i = 0; i < count; i++) {
        char folder[300], device[320], text[32];
        snprintf(folder, sizeof(folder), NETWORK "/%s", entries[i]->d_name);
        snprintf(device, sizeof(device), "%s/device", folder);
        posix_attribute(folder, "address", text, sizeof(text));
        if (entries[i]->d_name[0] != '.' && access(device, F_OK) == 0 && strlen(text) == FACT_MAC_TEXT - 1 &&
            strcmp(text, "00:00:00:00:00:00") != 0 && facts->mac_count < FACT_MACS_MAX)
            memcpy(facts->macs[facts->mac_count++], text, FACT_MAC_TEXT);
        free(entries[i]);
    }
    free(entries);
}

/* What is plugged in, as the stick sees it: the kernel tells only of what it has left for programs. Root may read the table. */
static uint64_t find_memory(void)
{
    FILE *file = fopen("/sys/firmware/dmi/tables/DMI", "r");
    uint8_t *table = file ? malloc(DMI_LIMIT) : NULL;
    uint64_t memory = table ? smbios_memory(table, fread(table, 1, DMI_LIMIT, file)) : 0;

    free(table);
    if (file)
        fclose(file);
    return memory;
}

void posix_machine_facts(struct machine_facts *facts)
{
    posix_system_text("vendor", facts->vendor, sizeof(facts->vendor));
    posix_system_text("model", facts->model, sizeof(facts->model));
    posix_system_text("serial", facts->serial, sizeof(facts->serial));
    posix_system_text("asset tag", facts->asset_tag, sizeof(facts->asset_tag));
    posix_system_text("board", facts->board, sizeof(facts->board));
    posix_system_text("firmware", facts->firmware, sizeof(facts->firmware));
    posix_system_text("uuid", facts->uuid, sizeof(facts->uuid));
    facts->memory = find_memory();
    find_addresses(facts);
}

bool posix_wait_key(uint64_t nanoseconds)
{
    struct pollfd keyboard = {STDIN_FILENO, POLLIN, 0};
    struct termios before, now;
    char key;

    if (tcgetattr(STDIN_FILENO, &before) != 0) {
        poll(NULL, 0, (int)(nanoseconds / NANOSECONDS_PER_MILLISECOND));
        return false;
    }
    /* A key, not a line; the signals of Ctrl-C stay. */
    now = before;
    now.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    tcsetattr(STDIN_FILENO, TCSANOW, &now);
    bool pressed =
        poll(&keyboard, 1, (int)(nanoseconds / NANOSECONDS_PER_MILLISECOND)) > 0 && read(STDIN_FILENO, &key, 1) == 1;
    tcsetattr(STDIN_FILENO, TCSANOW, &before);
    return pressed;
}
