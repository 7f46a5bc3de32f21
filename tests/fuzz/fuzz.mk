# SPDX-License-Identifier: GPL-2.0-or-later
# The fuzzing program, built by clang: make -f tests/fuzz/fuzz.mk BUILD=build. Called by tests/fuzz/run.py.
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-print-directory --no-builtin-rules

BUILD ?= build
PORTS ?= build/ports/asan
CLANG ?= clang
OUT := $(BUILD)/fuzz
TARGETS := image partition fat exfat ext ntfs swap_recognise command job usb

SANITIZE := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
# What gcc calls __SANITIZE_ADDRESS__ tells the core to announce its fibers' stacks.
FLAGS = -std=gnu11 -g -O1 -fno-omit-frame-pointer -fno-common -I. -I$(OUT) -isystem $(PORTS)/include \
	-D__SANITIZE_ADDRESS__=1 $(SANITIZE)

ROOMS := core fs ui
SOURCES := $(foreach room,$(ROOMS),$(wildcard $(room)/*.c $(room)/*/*.c $(room)/*.S $(room)/*/*.S)) $(wildcard tests/fuzz/*.c) \
	tests/support/test_platform.c tests/support/memory_store.c drivers/usb/usb_descriptor.c
OBJECTS := $(patsubst %,$(OUT)/%.o,$(basename $(SOURCES)))
LIBRARIES := $(foreach name,zstd blake3 e2p com_err,$(PORTS)/lib/lib$(name).a)

# libntfs-3g, libext2fs and libexfat once more, so that the fuzzer sees which way an input takes in them: the same files as in the ports, with what
# the ports configured.
NTFS := build/sources/ntfs-3g
EXT := build/sources/e2fsprogs
EXT_BUILD := build/ports/work/e2fsprogs-asan
LIBRARY_FLAGS := -std=gnu11 -g -O1 -w -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address -DHAVE_CONFIG_H -D_GNU_SOURCE \
	-D_FILE_OFFSET_BITS=64
NTFS_FLAGS := -I$(PORTS)/include/ntfs-3g -Ibuild/ports/work/ntfs-3g-asan -I$(NTFS)/include/ntfs-3g
EXFAT := build/sources/exfat
EXFAT_FLAGS := -I$(PORTS)/include/exfat
EXT_FLAGS := -I$(EXT_BUILD)/lib/ext2fs -I$(EXT_BUILD)/lib -I$(EXT)/lib -I$(EXT)/lib/ext2fs
members = $(shell ar t $(PORTS)/lib/lib$(1).a)
LIBRARY_OBJECTS := $(addprefix $(OUT)/ntfs-3g/,$(call members,ntfs-3g)) $(addprefix $(OUT)/ext2fs/,$(call members,ext2fs)) \
	$(addprefix $(OUT)/exfat/,$(call members,exfat))

.PHONY: all
all: $(foreach target,$(TARGETS),$(OUT)/fuzz_$(target))

$(OUT)/%.o: %.c tests/fuzz/fuzz.mk
	@mkdir -p $(@D)
	@echo "  CC      fuzz $<"
	@$(CLANG) $(FLAGS) -MMD -MP -c $< -o $@

$(OUT)/%.o: %.S tests/fuzz/fuzz.mk
	@mkdir -p $(@D)
	@$(CLANG) -c $< -o $@

# Comparisons in its loop would be all that the fuzzer sees of an image.
$(OUT)/core/image_zero.o: SANITIZE += -fno-sanitize-coverage=trace-cmp

define library_rule
$(OUT)/$(1)/%.o: $(2)/%.c $(PORTS)/lib/lib$(1).a
	@mkdir -p $$(@D)
	@echo "  CC      fuzz $$<"
	@$$(CLANG) $$(LIBRARY_FLAGS) $(3) -c $$< -o $$@
	@objcopy --redefine-syms=ports/library-symbols $$@
endef
$(eval $(call library_rule,ntfs-3g,$(NTFS)/libntfs-3g,$(NTFS_FLAGS)))
$(eval $(call library_rule,exfat,$(EXFAT)/libexfat,$(EXFAT_FLAGS)))
$(OUT)/exfat/time.o: LIBRARY_FLAGS += -Dexfat_tzset=exfat_system_tzset
$(eval $(call library_rule,ext2fs,$(EXT)/lib/ext2fs,$(EXT_FLAGS)))
$(eval $(call library_rule,ext2fs,$(EXT_BUILD)/lib/ext2fs,$(EXT_FLAGS)))

$(OUT)/fuzz: $(OBJECTS) $(LIBRARY_OBJECTS) $(LIBRARIES)
	@echo "  LD      $@"
	@$(CLANG) -fsanitize=fuzzer,address,undefined -o $@ $(OBJECTS) $(LIBRARY_OBJECTS) -Wl,--start-group $(LIBRARIES) -Wl,--end-group -lpthread

# One program; its name says which target is meant.
$(OUT)/fuzz_%: $(OUT)/fuzz
	@ln -f $< $@

-include $(OBJECTS:.o=.d)
