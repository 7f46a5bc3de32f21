# SPDX-License-Identifier: GPL-2.0-or-later
# The only entry. Sources are found by wildcard: a new file in a room needs no change here.
#
# Variables for the command line:
#   BUILD=folder     where objects go (default build); two people in one checkout use two
#   ROOMS="core fs"  only these rooms, for instance while another one does not compile
#   TESTS="a b"      unit tests (test_a, test_b) or machine tests to run instead of all
#   WERROR=          warnings are no errors
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
.SECONDARY:

BUILD ?= build
ROOMS ?= core fs drivers ui
WERROR ?= -Werror
TESTS ?=

# As many jobs as processors, unless the caller said otherwise.
ifeq ($(MAKELEVEL)$(filter -j% --jobserver%,$(MAKEFLAGS)),0)
MAKEFLAGS += -j$(shell nproc)
endif
MAKEFLAGS += --no-print-directory --no-builtin-rules

include ports/ports.mk

# ---------------------------------------------------------------- flags

WARNINGS := -Wall -Wextra -Wconversion -Wno-sign-conversion -Wno-format-truncation -Wstrict-prototypes $(WERROR)
COMMON := -std=gnu11 -g $(WARNINGS) -I. -I$(BUILD) -fno-common
HOST_FLAGS := $(COMMON) -O2 -fno-omit-frame-pointer -isystem build/ports/host/include
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=undefined
ASAN_FLAGS := $(COMMON) -O1 -fno-omit-frame-pointer $(SANITIZE) -isystem build/ports/asan/include

GCC_HEADERS := $(shell $(CC) -print-file-name=include)
MACHINE := -O2 -mno-red-zone -fpic -fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables \
	-ffunction-sections -fdata-sections -nostdinc
EFI_FLAGS := $(COMMON) $(MACHINE) -isystem build/ports/efi/include -isystem $(GCC_HEADERS)
# boot/: memory functions are made here, so the compiler must not turn them into calls of themselves.
BOOT_FLAGS := $(EFI_FLAGS) -ffreestanding
# Files that include efi.h. The compiler's own stddef.h and friends go before musl's, for wchar_t has 16 bits here.
EFI_H_FLAGS := $(COMMON) $(MACHINE) -fshort-wchar -ffreestanding -DGNU_EFI_USE_MS_ABI -isystem $(GCC_HEADERS) \
	-isystem build/ports/efi/include -isystem build/ports/efi/gnu-efi -isystem build/ports/efi/gnu-efi/x86_64

# ---------------------------------------------------------------- version

ifneq ($(filter-out help clean ports check-format,$(or $(MAKECMDGOALS),help)),)
VERSION := $(shell GIT_OPTIONAL_LOCKS=0 git describe --always --dirty --tags 2>/dev/null || echo unversioned)
VERSION_LINE := \#define EIDOLON_VERSION "$(VERSION)"
ifneq ($(shell cat $(BUILD)/version.h 2>/dev/null),$(VERSION_LINE))
$(shell mkdir -p $(BUILD) && echo '$(VERSION_LINE)' >$(BUILD)/version.h.$$$$ && mv $(BUILD)/version.h.$$$$ $(BUILD)/version.h)
endif
endif

# ---------------------------------------------------------------- objects and room libraries

sources_of = $(wildcard $(1)/*.c $(1)/*/*.c $(1)/*.S $(1)/*/*.S)
objects_of = $(patsubst %,$(BUILD)/$(1)/%.o,$(basename $(call sources_of,$(2))))
libraries_of = $(foreach room,$(ROOMS),$(BUILD)/$(1)/lib$(room).a)

host_flags = $(HOST_FLAGS)
asan_flags = $(ASAN_FLAGS)
# $(1) is the source: the most special rule of the bare machine first.
efi_flags = $(if $(filter boot/efi_%,$(1)),$(EFI_H_FLAGS),$(if $(filter boot/%,$(1)),$(BOOT_FLAGS),$(EFI_FLAGS)))

define compile_rules
$(BUILD)/$(1)/%.o: %.c Makefile | $(call ports_of,$(1))
	@mkdir -p $$(@D)
	@echo "  CC      $(1) $$<"
	@$$(CC) $$(call $(1)_flags,$$<) -MMD -MP -c $$< -o $$@

$(BUILD)/$(1)/%.o: %.S Makefile | $(call ports_of,$(1))
	@mkdir -p $$(@D)
	@echo "  AS      $(1) $$<"
	@$$(CC) $$(call $(1)_flags,$$<) -MMD -MP -c $$< -o $$@
endef

# q, not r: two files of one name in two subfolders are two members.
define room_rule
$(BUILD)/$(1)/lib$(2).a: $(call objects_of,$(1),$(2))
	@mkdir -p $$(@D)
	@rm -f $$@ && ar qcsD $$@ $$^
endef

$(foreach flavour,host asan efi,$(eval $(call compile_rules,$(flavour))))
$(foreach flavour,host asan efi,$(BUILD)/$(flavour)/ui/screen/font_data.o): $(PORTS_FONT)
$(foreach flavour,host asan efi,$(foreach room,$(ROOMS),$(eval $(call room_rule,$(flavour),$(room)))))
$(eval $(call room_rule,asan,tests/support))
$(eval $(call room_rule,asan,tests/fuzz))
$(eval $(call room_rule,asan,tools))

port_archives = $(foreach name,zstd blake3 ntfs-3g exfat ext2fs e2p com_err,build/ports/$(1)/lib/lib$(name).a)
link_group = -Wl,--start-group $(call libraries_of,$(1)) $(2) $(call port_archives,$(1)) -Wl,--end-group

# ---------------------------------------------------------------- the host program

TOOLS_OBJECTS := $(patsubst %.c,$(BUILD)/host/%.o,$(wildcard tools/*.c))

.PHONY: tools
tools: $(BUILD)/eidolon

$(BUILD)/eidolon: $(TOOLS_OBJECTS) $(call libraries_of,host)
	$(if $(TOOLS_OBJECTS),,$(error tools/ holds no C file yet))
	@echo "  LD      $@"
	@$(CC) -O2 -o $@ $(TOOLS_OBJECTS) $(call link_group,host) -lpthread

# ---------------------------------------------------------------- the UEFI application

BOOT_OBJECTS := $(call objects_of,efi,boot)
GNU_EFI := build/ports/efi/lib

.PHONY: efi
efi: $(BUILD)/eidolon.efi

$(BUILD)/eidolon.elf: $(BOOT_OBJECTS) $(call libraries_of,efi) boot/efi.lds tools/check_efi.sh $(call ports_of,efi)
	@echo "  LD      $@"
	@ld -nostdlib -pie --no-dynamic-linker -z text -z defs -z noexecstack --no-warn-rwx-segments -Bsymbolic --gc-sections \
		-T boot/efi.lds -Map $@.map -o $@ $(GNU_EFI)/crt0-efi-x86_64.o $(BOOT_OBJECTS) --start-group \
		$(call libraries_of,efi) $(call port_archives,efi) $(GNU_EFI)/libc.a $(GNU_EFI)/libgnuefi.a --end-group \
		$(shell $(CC) -print-libgcc-file-name)
	@tools/check_efi.sh $@

$(BUILD)/eidolon.efi: $(BUILD)/eidolon.elf
	@echo "  EFI     $@"
	@objcopy -j .text -j .rodata -j .data -j .bss -j .dynamic -j .dynsym -j .rela -j .reloc -j .sbat --target=efi-app-x86_64 $< $@.new
	@tools/check_efi.sh $@.new
	@mv $@.new $@

.PHONY: image
image: $(BUILD)/eidolon-x64.img

$(BUILD)/eidolon-x64.img: $(BUILD)/eidolon.efi tools/make_stick.sh
	@echo "  IMAGE   $@"
	@tools/make_stick.sh $@ $<

# ---------------------------------------------------------------- tests

UNIT_SOURCES := $(wildcard tests/unit/test_*.c tests/conformance/test_*.c)
UNIT_ALL := $(patsubst tests/%.c,$(BUILD)/tests/%,$(UNIT_SOURCES))
UNIT_PROGRAMS := $(if $(TESTS),$(filter $(addprefix %/,$(TESTS)),$(UNIT_ALL)),$(UNIT_ALL))

# test_regressions replays inputs through the fuzzing targets; test_posix runs the host program's platform.
TEST_LIBRARIES := $(BUILD)/asan/libtests/support.a $(BUILD)/asan/libtests/fuzz.a $(BUILD)/asan/libtools.a

$(UNIT_ALL): $(BUILD)/tests/%: $(BUILD)/asan/tests/%.o $(TEST_LIBRARIES) $(call libraries_of,asan)
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(SANITIZE) -o $@ $< $(call link_group,asan,$(TEST_LIBRARIES)) -lcmocka -lpthread

build/ports/test-packages.stamp: ports/install-packages.sh
	@mkdir -p $(@D)
	@ports/install-packages.sh build test
	@touch $@

$(UNIT_PROGRAMS): | build/ports/test-packages.stamp

.PHONY: unit machine-tests test check-format
unit: $(UNIT_PROGRAMS)
	@tests/machine/run_unit.py --results $(BUILD)/results/unit $(UNIT_PROGRAMS)

machine-tests: $(BUILD)/eidolon.efi $(BUILD)/eidolon-x64.img $(if $(TOOLS_OBJECTS),$(BUILD)/eidolon) | build/ports/test-packages.stamp
	@BUILD=$(BUILD) tests/machine/run.py --results $(BUILD)/results/machine $(TESTS)

# Both halves run, whatever becomes of the first; a half that does not even build counts as one failure.
test:
	@ports/install-packages.sh build test
	@rm -rf $(BUILD)/results && mkdir -p $(BUILD)/results
	+@$(MAKE) unit || true
	+@$(MAKE) machine-tests || true
	@cat $(BUILD)/results/unit $(BUILD)/results/machine 2>/dev/null | awk ' \
		{ passed += $$1; failed += $$2; halves++ } \
		END { failed += 2 - halves; printf "%d passed, %d failed\n", passed, failed; exit failed != 0 }'

check-format:
	@ports/install-packages.sh format
	@git ls-files '*.c' '*.h' | xargs -r clang-format --dry-run -Werror

# ---------------------------------------------------------------- what others bring

run_first = $(firstword $(wildcard $(1)/run.sh $(1)/run.py))

.PHONY: demo screens bench fuzz
demo: $(BUILD)/eidolon-x64.img $(BUILD)/eidolon | build/ports/test-packages.stamp
	$(if $(call run_first,tests/demo),,$(error tests/demo/run.sh is missing))
	@BUILD=$(BUILD) DISK=$(DISK) $(call run_first,tests/demo)

# QUICK, LANGUAGES and SIZES are explained in tests/screens/run.py.
screens: $(BUILD)/eidolon.efi | build/ports/test-packages.stamp $(PORTS_FONT)
	@BUILD=$(BUILD) tests/screens/run.py

$(BUILD)/bench/limit: tests/bench/limit.c $(call ports_of,host)
	@mkdir -p $(@D)
	@echo "  CC      $@"
	@$(CC) $(HOST_FLAGS) -o $@ $< $(foreach name,zstd blake3,build/ports/host/lib/lib$(name).a) -lpthread

# PARTS, ROUNDS, SIZE, QUICK and PUBLISH are explained in tests/bench/run.py.
bench: $(BUILD)/eidolon-x64.img $(BUILD)/eidolon.efi $(BUILD)/eidolon $(BUILD)/bench/limit | build/ports/test-packages.stamp
	@ports/install-packages.sh bench
	@BUILD=$(BUILD) tests/bench/run.py

fuzz: $(call ports_of,asan)
	$(if $(call run_first,tests/fuzz),,$(error tests/fuzz/run.sh is missing))
	@ports/install-packages.sh build fuzz
	@BUILD=$(BUILD) $(call run_first,tests/fuzz)

.PHONY: sizes clean help
sizes: $(BUILD)/eidolon.efi $(if $(TOOLS_OBJECTS),$(BUILD)/eidolon)
	@size -A -d $(BUILD)/eidolon.elf | awk '/^\.(text|rodata|data|bss)/ { printf "%-28s %9d\n", "eidolon.elf " $$1, $$2 }'
	@stat -c '%n %s' $^ | awk '{ printf "%-28s %9d\n", $$1, $$2 }'
	@for room in $(ROOMS) boot; do find $(BUILD)/efi/$$room -name '*.o' 2>/dev/null | xargs -r size -t | \
		awk -v room=$$room 'END { printf "%-28s %9d text %8d data %9d bss\n", room "/ (before --gc-sections)", $$1, $$2, $$3 }'; done

# Ports and fetched sources stay: they are slow to make and never stale. rm -rf build removes all.
clean:
	@rm -rf $(addprefix $(BUILD)/,host asan efi tests results machine version.h eidolon*)

help:
	@echo "Eidolon, disk imaging on the bare machine. What can be made:"
	@echo
	@echo "  make demo          show it working: an emulated PC is captured and restored (DISK=usb: onto USB disks, by keys)"
	@echo "  make test          prove it: unit tests and emulated machines (installs what is missing)"
	@echo
	@echo "  make image         $(BUILD)/eidolon-x64.img, to be written to a USB stick"
	@echo "  make tools         $(BUILD)/eidolon, the program for Linux"
	@echo "  make unit          the unit tests alone           (TESTS=\"test_extent ...\")"
	@echo "  make machine-tests the emulated machines alone    (TESTS=\"test_boot ...\")"
	@echo "  make screens       pictures of every screen in every language, in $(BUILD)/screens (QUICK=1: English, one size)"
	@echo "  make bench         measure speed beside other tools (PARTS=\"host growth emulated\" QUICK=1)"
	@echo "  make fuzz          throw damaged input at every parser"
	@echo "  make sizes         sizes of the programs and their parts"
	@echo "  make ports         third-party libraries (done by the others when needed)"
	@echo "  make check-format  clang-format"
	@echo "  make clean         remove what was built; ports and sources stay"

-include $(shell find $(BUILD)/host $(BUILD)/asan $(BUILD)/efi -name '*.d' 2>/dev/null)
