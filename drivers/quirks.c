/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "drivers/quirks.h"

static const char slow_ready[] =
    "CSTS gives wrong values, or the controller hangs, when read soon after CC.EN has changed";
static const char write_zeroes[] = "Write Zeroes is announced but does not work reliably";

static const char no_queue[] = "native command queuing is announced but does not work";

static const char no_streams[] = "streams are announced, but lose transfers or hang the endpoint";
static const char below_4_gib[] = "64-bit addresses are announced, but their upper half is lost";

static const struct quirk_entry quirk_table[] = {
    /* NVMe */
    {0x1bb1, 0x0100, QUIRK_NVME_SLOW_READY, slow_ready},                              /* Seagate Nytro */
    {0x1c58, 0x0003, QUIRK_NVME_SLOW_READY, slow_ready},                              /* HGST SN100 */
    {0x1c58, 0x0023, QUIRK_NVME_SLOW_READY, slow_ready},                              /* WDC SN200 */
    {0x1c5f, 0x0540, QUIRK_NVME_SLOW_READY, slow_ready},                              /* Memblaze PBlaze4 */
    {0x144d, 0xa821, QUIRK_NVME_SLOW_READY, slow_ready},                              /* Samsung PM1725 */
    {0x144d, 0xa822, QUIRK_NVME_SLOW_READY | QUIRK_NVME_NO_WRITE_ZEROES, slow_ready}, /* Samsung PM1725a */
    {0x144d, 0xa809, QUIRK_NVME_NO_WRITE_ZEROES, write_zeroes},                       /* Samsung MZALQ256 */
    {0x144d, 0xa80b, QUIRK_NVME_NO_WRITE_ZEROES, write_zeroes},                       /* Samsung PM9B1 */
    {0x15b7, 0x2001, QUIRK_NVME_NO_WRITE_ZEROES, write_zeroes},                       /* SanDisk Skyhawk */
    {0x1987, 0x5019, QUIRK_NVME_NO_WRITE_ZEROES, write_zeroes},                       /* Phison E19 */
    {0x1987, 0x5021, QUIRK_NVME_NO_WRITE_ZEROES, write_zeroes},                       /* Phison E21 */
    {0x1c5c, 0x1504, QUIRK_NVME_NO_WRITE_ZEROES, write_zeroes},                       /* SK hynix PC400 */
    {0x1c5c, 0x1d59, QUIRK_NVME_NO_WRITE_ZEROES, write_zeroes},                       /* SK hynix BC901 */
    {0x1cc4, 0x6302, QUIRK_NVME_NO_WRITE_ZEROES, write_zeroes},                       /* UMIS RPJTJ256 */
    {0x1cc4, 0x6303, QUIRK_NVME_NO_WRITE_ZEROES, write_zeroes},                       /* UMIS RPJTJ512 */
    {0x1d97, 0x2263, QUIRK_NVME_NO_WRITE_ZEROES, write_zeroes},                       /* SPCC, Lexar NM610 */
    {0x2646, 0x5016, QUIRK_NVME_NO_WRITE_ZEROES, write_zeroes},                       /* Kingston OM3PGP4 */
    {0x2646, 0x5018, QUIRK_NVME_NO_WRITE_ZEROES, write_zeroes},                       /* Kingston OM8SFP4 */
    {0x2646, 0x501a, QUIRK_NVME_NO_WRITE_ZEROES, write_zeroes},                       /* Kingston OM8PGP4 */
    {0x2646, 0x501b, QUIRK_NVME_NO_WRITE_ZEROES, write_zeroes},                       /* Kingston OM8PGP4 */
    {0x2646, 0x501e, QUIRK_NVME_NO_WRITE_ZEROES, write_zeroes},                       /* Kingston OM3PGP4 */
    {0x8086, 0xf1a5, QUIRK_NVME_NO_WRITE_ZEROES, write_zeroes},                       /* Intel 600p */
    {0x8086, 0x5845, QUIRK_NVME_NO_WRITE_ZEROES | QUIRK_NVME_OLD_IDENTIFY,
     "the controller of QEMU before 5.2 answers later Identify structures with wrong data"},
    {0x106b, 0x2001, QUIRK_NVME_DEPTH_ONE,
     "the SSD of the 12-inch MacBook resets itself and loses data with more than one command in flight"},
    {0x106b, 0x2005, QUIRK_NVME_FOREIGN,
     "the SSD behind Apple's T2 wants submission entries of 128 bytes and one tag space for both queues"},
    /* AHCI */
    {0x1002, 0x4380, QUIRK_AHCI_32_BITS,
     "the SB600 announces 64-bit addresses, but loses data above 4 GiB on many boards"}, /* ATI SB600 */
    {0x1106, 0x3349, QUIRK_AHCI_NO_QUEUE, no_queue},                                     /* VIA VT8251 */
    {0x11ab, 0x6121, QUIRK_AHCI_NO_QUEUE, no_queue},                                     /* Marvell 88SE6121 */
    {0x11ab, 0x6145, QUIRK_AHCI_NO_QUEUE, no_queue},                                     /* Marvell 88SE6145 */
    /* xHCI */
    {0x1b73, 0x1009, QUIRK_XHCI_NO_STREAMS, no_streams}, /* Fresco Logic FL1009 */
    {0x1b21, 0x1042, QUIRK_XHCI_NO_STREAMS, no_streams}, /* ASMedia ASM1042 */
    {0x1b6f, 0x7023, QUIRK_XHCI_NO_STREAMS, no_streams}, /* Etron EJ168 */
    {0x1b6f, 0x7052, QUIRK_XHCI_NO_STREAMS, no_streams}, /* Etron EJ188 */
    {0x1106, 0x3432, QUIRK_XHCI_NO_STREAMS, no_streams}, /* VIA VL800 */
    {0x1b21, 0x1142, QUIRK_XHCI_32_BITS, below_4_gib},   /* ASMedia ASM1042A */
    {0x1b21, 0x2142, QUIRK_XHCI_32_BITS, below_4_gib},   /* ASMedia ASM2142 */
    {0x1b21, 0x3242, QUIRK_XHCI_32_BITS, below_4_gib},   /* ASMedia ASM3242 */
};

uint32_t quirks_find(const struct pci_device *device, bool log)
{
    for (size_t i = 0; i < sizeof(quirk_table) / sizeof(quirk_table[0]); i++) {
        const struct quirk_entry *entry = &quirk_table[i];
        if (entry->vendor_id != device->vendor_id || entry->device_id != device->device_id)
            continue;
        if (log)
            platform_log(device->platform, LOG_INFO, "PCI %04x:%04x is treated specially: %s", entry->vendor_id,
                         entry->device_id, entry->reason);
        return entry->quirks;
    }
    return 0;
}

static const char uas_fails[] = "its UAS hangs or loses commands under load; bulk-only works";

static const char wrong_residue[] = "the residue in the status wrapper is wrong";
static const char small_buffer[] = "data is lost in transfers above 32 KiB, and the residue is wrong";
static const char one_too_many[] = "its capacity counts one block too many";

static const struct usb_quirk_entry usb_quirk_table[] = {
    {0x174c, 0x5106, 0, 0xffff, USB_QUIRK_NO_UAS,
     "the ASM1051 announces UAS, but its streams do not work"}, /* ASMedia ASM1051 */
    {0x174c, 0x55aa, 0, 0xffff, USB_QUIRK_NO_UAS_32_STREAMS,
     "the ASM1051 calls itself like the ASM1053 and ASM1153, which work; it has 32 streams, and they do not"},
    {0x2537, 0x1068, 0, 0xffff, USB_QUIRK_NO_UAS, uas_fails}, /* Norelsys NS1068 */
    {0x4971, 0x1012, 0, 0xffff, USB_QUIRK_NO_UAS, uas_fails}, /* Hitachi G-Technology */
    {0x0b05, 0x1932, 0, 0xffff, USB_QUIRK_NO_UAS, uas_fails}, /* ASUS external disk */
    {0x090c, 0x2000, 0, 0xffff, USB_QUIRK_NO_UAS, uas_fails}, /* Hiksemi external disk */
    {0x17ef, 0x3899, 0, 0xffff, USB_QUIRK_NO_UAS, uas_fails}, /* Lenovo Thinkplus */
    {0x0781, 0x55e8, 0, 0xffff, USB_QUIRK_NO_UAS, uas_fails}, /* SanDisk portable SSD */
    {0x0bc2, 0x2321, 0, 0xffff, USB_QUIRK_NO_UAS, uas_fails}, /* Seagate Expansion */
    {0x357d, 0x7788, 0, 0xffff, USB_QUIRK_NO_UAS, uas_fails}, /* JMicron JMS566 */
    {0x0984, 0x0301, 0x0128, 0x0128, USB_QUIRK_NO_UAS,
     "with UAS it answers commands with its own status signature instead of data"}, /* Apricorn */
    {0x0bc2, 0x331a, 0, 0xffff, USB_QUIRK_NO_REPORT_LUNS, "REPORT LUNS hangs it"},  /* Seagate Expansion Desk */
    {0x13fd, 0x3940, 0x0309, 0x0309, USB_QUIRK_IGNORE_RESIDUE, wrong_residue},      /* Initio INIC-3069 */
    {0x152d, 0x2329, 0x0100, 0x0100, USB_QUIRK_IGNORE_RESIDUE, wrong_residue},      /* JMicron JM20329 */
    {0x05e3, 0x0701, 0, 0xffff, USB_QUIRK_TRANSFER_32K | USB_QUIRK_IGNORE_RESIDUE, small_buffer}, /* Genesys GL811 */
    {0x05e3, 0x0702, 0, 0xffff, USB_QUIRK_TRANSFER_32K | USB_QUIRK_IGNORE_RESIDUE, small_buffer}, /* Genesys GL811E */
    {0x05ac, 0x1202, 0, 0xffff, USB_QUIRK_CAPACITY_PLUS_ONE, one_too_many},                       /* Apple iPod */
    {0x05ac, 0x1203, 0, 0xffff, USB_QUIRK_CAPACITY_PLUS_ONE, one_too_many},                       /* Apple iPod */
    {0x05ac, 0x1204, 0, 0xffff, USB_QUIRK_CAPACITY_PLUS_ONE, one_too_many},                       /* Apple iPod */
    {0x05ac, 0x1205, 0, 0xffff, USB_QUIRK_CAPACITY_PLUS_ONE, one_too_many},                       /* Apple iPod */
    {0x05ac, 0x120a, 0, 0xffff, USB_QUIRK_CAPACITY_PLUS_ONE, one_too_many},                       /* Apple iPod */
    {0x059f, 0x105f, 0, 0xffff, USB_QUIRK_NO_WRITE_SAME, "WRITE SAME hangs it"}, /* LaCie 2Big Quadra */
    {0x059f, 0x1061, 0, 0xffff, USB_QUIRK_NO_WRITE_SAME, "WRITE SAME hangs it"}, /* LaCie Rugged */
};

uint32_t usb_quirks_find(struct platform *platform, const char *name, uint16_t vendor_id, uint16_t product_id,
                         uint16_t release)
{
    uint32_t quirks = 0;

    for (size_t i = 0; i < sizeof(usb_quirk_table) / sizeof(usb_quirk_table[0]); i++) {
        const struct usb_quirk_entry *entry = &usb_quirk_table[i];
        if (entry->vendor_id != vendor_id || entry->product_id != product_id || release < entry->release_first ||
            release > entry->release_last)
            continue;
        if (name)
            platform_log(platform, LOG_INFO, "%s: USB %04x:%04x is treated specially: %s", name, vendor_id, product_id,
                         entry->reason);
        quirks |= entry->quirks;
    }
    return quirks;
}
