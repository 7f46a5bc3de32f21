# SPDX-License-Identifier: GPL-2.0-or-later
# Third-party libraries: one stamp for each library and flavour. Included by the Makefile; also
# alone: make -f ports/ports.mk. $(call ports_of,FLAVOUR) names the stamps that a flavour needs.
PORTS_LIBRARIES := zstd blake3 e2fsprogs ntfs-3g exfat
PORTS_FLAVOURS := host asan efi

ports_of = $(foreach library,$(PORTS_LIBRARIES),build/ports/$(1)/$(library).stamp) \
	$(if $(filter efi,$(1)),build/ports/efi/gnu-efi.stamp)
PORTS_FONT := build/ports/unifont/font.zst

.PHONY: ports
ports: $(foreach flavour,$(PORTS_FLAVOURS),$(call ports_of,$(flavour))) $(PORTS_FONT)

build/ports/packages.stamp: ports/install-packages.sh
	@mkdir -p $(@D)
	@ports/install-packages.sh build
	@touch $@

# fetch.sh touches nothing of a library whose version is still the same.
build/sources/fetched.stamp: ports/versions ports/fetch.sh | build/ports/packages.stamp
	@mkdir -p $(@D)
	@flock build/sources ports/fetch.sh
	@touch $@

# A library is built anew when its own version changes, not with each fetch.
PORTS_FETCHED := $(foreach library,$(PORTS_LIBRARIES) musl unifont,build/sources/$(library).fetched)
$(PORTS_FETCHED): build/sources/fetched.stamp ; @:

# Two makes at once in one folder wait for each other here, and the second finds the work done.
define ports_rule
build/ports/$(1)/$(2).stamp: ports/$(2).sh ports/common.sh ports/library-symbols $(filter %/$(2).fetched,$(PORTS_FETCHED)) $(3)
	@mkdir -p $$(@D)
	@flock $$@.lock sh -c 'test -f $$@ && test -z "$$$$(find $$^ -newer $$@)" \
		|| { echo "  PORT    $(2) $(1)" && ports/$(2).sh $(1); }'
	@touch $$@
endef
musl_of_efi = $(if $(filter efi,$(1)),build/ports/efi/musl.stamp)
$(foreach flavour,$(PORTS_FLAVOURS),$(foreach library,$(PORTS_LIBRARIES),\
	$(eval $(call ports_rule,$(flavour),$(library),$(call musl_of_efi,$(flavour))))))
$(eval $(call ports_rule,efi,musl,$(wildcard ports/musl/*)))
$(eval $(call ports_rule,efi,gnu-efi,))

# The same in all flavours.
$(PORTS_FONT): ports/unifont.sh ports/unifont/pack.c ui/screen/font.h build/sources/unifont.fetched build/ports/host/zstd.stamp
	@mkdir -p $(@D)
	@flock $@.lock sh -c 'test -f $@ && test -z "$$(find $^ -newer $@)" || { echo "  PORT    unifont" && ports/unifont.sh; }'
