/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Protocols that gnu-efi 3.0.15 has no declarations for: MP services (Platform Initialization specification
 * 1.7, volume 2, section 13.4), disk information (same, volume 5, section 12.10), USB I/O, NVMe pass
 * through, memory attributes (UEFI 2.10, sections 17.2.4, 13.15, 37.7). Names are the specifications'.
 */
#ifndef BOOT_EFI_PROTOCOLS_H
#define BOOT_EFI_PROTOCOLS_H

#include <efi.h>

#define EFI_MP_SERVICES_PROTOCOL_GUID                                                                                  \
    {                                                                                                                  \
        0x3fdda605, 0xa76e, 0x4f46,                                                                                    \
        {                                                                                                              \
            0xad, 0x29, 0x12, 0xf4, 0x53, 0x1b, 0x3d, 0x08                                                             \
        }                                                                                                              \
    }

#define PROCESSOR_AS_BSP_BIT 0x1u
#define PROCESSOR_ENABLED_BIT 0x2u
#define PROCESSOR_HEALTH_STATUS_BIT 0x4u

/* ExtendedInformation of later revisions is only room here. */
struct efi_processor_information {
    UINT64 processor_id;
    UINT32 status_flag;
    UINT32 package, core, thread;
    UINT32 extended[6];
};

typedef VOID(EFIAPI *EFI_AP_PROCEDURE)(VOID *argument);

struct efi_mp_services {
    EFI_STATUS(EFIAPI *get_number_of_processors)
    (struct efi_mp_services *self, UINTN *processors, UINTN *enabled);
    EFI_STATUS(EFIAPI *get_processor_info)
    (struct efi_mp_services *self, UINTN number, struct efi_processor_information *information);
    VOID *startup_all_aps;
    /* With an event the call does not wait; timeout 0 is none. */
    EFI_STATUS(EFIAPI *startup_this_ap)
    (struct efi_mp_services *self, EFI_AP_PROCEDURE procedure, UINTN number, EFI_EVENT event, UINTN timeout,
     VOID *argument, BOOLEAN *finished);
    VOID *switch_bsp;
    VOID *enable_disable_ap;
    EFI_STATUS(EFIAPI *who_am_i)(struct efi_mp_services *self, UINTN *number);
};

#define EFI_DISK_INFO_PROTOCOL_GUID                                                                                    \
    {                                                                                                                  \
        0xd432a67f, 0x14dc, 0x484b,                                                                                    \
        {                                                                                                              \
            0xb3, 0xbb, 0x3f, 0x02, 0x91, 0x84, 0x93, 0x27                                                             \
        }                                                                                                              \
    }

struct efi_disk_info {
    EFI_GUID interface;
    EFI_STATUS(EFIAPI *inquiry)(struct efi_disk_info *self, VOID *data, UINT32 *size);
    EFI_STATUS(EFIAPI *identify)(struct efi_disk_info *self, VOID *data, UINT32 *size);
    EFI_STATUS(EFIAPI *sense_data)(struct efi_disk_info *self, VOID *data, UINT32 *size, UINT8 *number);
    EFI_STATUS(EFIAPI *which_ide)(struct efi_disk_info *self, UINT32 *channel, UINT32 *device);
};

#define EFI_USB_IO_PROTOCOL_GUID                                                                                       \
    {                                                                                                                  \
        0x2b2f68d6, 0x0cd2, 0x44cf,                                                                                    \
        {                                                                                                              \
            0x8e, 0x8b, 0xbb, 0xa2, 0x0b, 0x1b, 0x5b, 0x75                                                             \
        }                                                                                                              \
    }

/* USB 2.0, table 9-8. */
struct efi_usb_device_descriptor {
    UINT8 length, type;
    UINT16 usb;
    UINT8 class, subclass, protocol, max_packet;
    UINT16 vendor, product, release;
    UINT8 manufacturer_string, product_string, serial_string, configurations;
};

/* USB 2.0, table 9-12. */
struct efi_usb_interface_descriptor {
    UINT8 length, type, number, alternate, endpoints, class, subclass, protocol, name_string;
};

struct efi_usb_io {
    VOID *transfers[6]; /* control to asynchronous isochronous: not used here */
    EFI_STATUS(EFIAPI *get_device_descriptor)(struct efi_usb_io *self, struct efi_usb_device_descriptor *descriptor);
    VOID *get_config_descriptor;
    EFI_STATUS(EFIAPI *get_interface_descriptor)
    (struct efi_usb_io *self, struct efi_usb_interface_descriptor *descriptor);
    VOID *get_endpoint_descriptor;
    EFI_STATUS(EFIAPI *get_string_descriptor)
    (struct efi_usb_io *self, UINT16 language, UINT8 index, CHAR16 **text);
    EFI_STATUS(EFIAPI *get_supported_languages)(struct efi_usb_io *self, UINT16 **languages, UINT16 *size);
    VOID *port_reset;
};

#define EFI_NVM_EXPRESS_PASS_THRU_PROTOCOL_GUID                                                                        \
    {                                                                                                                  \
        0x52c78312, 0x8edc, 0x4233,                                                                                    \
        {                                                                                                              \
            0x98, 0xf2, 0x1a, 0x1a, 0xa5, 0xe3, 0x88, 0xa5                                                             \
        }                                                                                                              \
    }

struct efi_nvme_command {
    UINT32 opcode; /* fused bits above are zero */
    UINT8 valid;   /* which of the double words below count */
    UINT32 namespace_id;
    UINT32 words_2_3[2], words_10_15[6];
};
#define NVME_WORD_10_VALID 0x4

struct efi_nvme_packet {
    UINT64 timeout; /* 100 ns */
    VOID *data;
    UINT32 data_size;
    VOID *metadata;
    UINT32 metadata_size;
    UINT8 queue; /* 0: admin */
    struct efi_nvme_command *command;
    UINT32 *completion; /* four of them */
};

struct efi_nvme_pass_thru {
    VOID *mode;
    EFI_STATUS(EFIAPI *pass_thru)
    (struct efi_nvme_pass_thru *self, UINT32 namespace_id, struct efi_nvme_packet *packet, EFI_EVENT event);
    VOID *get_next_namespace, *build_device_path, *get_namespace;
};

#define EFI_MEMORY_ATTRIBUTE_PROTOCOL_GUID                                                                             \
    {                                                                                                                  \
        0xf4560cf6, 0x40ec, 0x4b4a,                                                                                    \
        {                                                                                                              \
            0xa1, 0x92, 0xbf, 0x1d, 0x57, 0xd0, 0xb1, 0x89                                                             \
        }                                                                                                              \
    }

struct efi_memory_attribute {
    EFI_STATUS(EFIAPI *get)
    (struct efi_memory_attribute *self, EFI_PHYSICAL_ADDRESS base, UINT64 length, UINT64 *attributes);
    EFI_STATUS(EFIAPI *set)
    (struct efi_memory_attribute *self, EFI_PHYSICAL_ADDRESS base, UINT64 length, UINT64 attributes);
    EFI_STATUS(EFIAPI *clear)
    (struct efi_memory_attribute *self, EFI_PHYSICAL_ADDRESS base, UINT64 length, UINT64 attributes);
};

#endif
