# SPDX-License-Identifier: GPL-2.0-or-later
# The fuzzing program, built by clang: make -f tests/fuzz/fuzz.mk BUILD=build. Called by tests/fuzz/run.py.
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-print-directory --no-builtin-rules

BUILD ?= build
PORTS ?= build/ports/asan
CLANG ?= clang
OUT := $(BUILD)/fuzz
TARGETS := image partition fat exfat ext ntfs swap_recognise command

SANITIZE := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
# What gcc calls __SANITIZE_ADDRESS__ tells the core to announce its fibers' stacks.
FLAGS := -std=gnu11 -g -O1 -fno-omit-frame-pointer -fno-common -I. -I$(OUT) -isystem $(PORTS)/include \
	-D__SANITIZE_ADDRESS__=1 $(SANITIZE)

ROOMS := core fs ui
SOURCES := $(foreach room,$(ROOMS),$(wildcard $(room)/*.c $(room)/*/*.c $(room)/*.S)) $(wildcard tests/fuzz/*.c) \
	tests/support/test_platform.c tests/support/memory_store.c
OBJECTS := $(patsubst %,$(OUT)/%.o,$(basename $(SOURCES)))
LIBRARIES := $(foreach name,zstd blake3 ntfs-3g ext2fs e2p com_err,$(PORTS)/lib/lib$(name).a)

.PHONY: all
all: $(foreach target,$(TARGETS),$(OUT)/fuzz_$(target))

$(OUT)/%.o: %.c tests/fuzz/fuzz.mk
	@mkdir -p $(@D)
	@echo "  CC      fuzz $<"
	@$(CLANG) $(FLAGS) -MMD -MP -c $< -o $@

$(OUT)/%.o: %.S tests/fuzz/fuzz.mk
	@mkdir -p $(@D)
	@$(CLANG) -c $< -o $@

$(OUT)/fuzz: $(OBJECTS) $(LIBRARIES)
	@echo "  LD      $@"
	@$(CLANG) -fsanitize=fuzzer,address,undefined -o $@ $(OBJECTS) -Wl,--start-group $(LIBRARIES) -Wl,--end-group -lpthread

# One program; its name says which target is meant.
$(OUT)/fuzz_%: $(OUT)/fuzz
	@ln -f $< $@

-include $(OBJECTS:.o=.d)
