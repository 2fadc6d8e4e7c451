# The C library as packages: an installed tree and a tarball. Included by the Makefile in the root; GNU tools on Linux.
#
#   make install PREFIX=/usr libdir=/usr/lib/x86_64-linux-gnu DESTDIR=/tmp/stage
#
# The shared library carries the version of the ABI: libmlflow_trace.so -> .so.1 -> .so.1.0.

PREFIX ?= /usr/local
libdir ?= $(PREFIX)/lib
includedir ?= $(PREFIX)/include
DESTDIR ?=

PACKAGE_VERSION = $(shell sed -n 's/^\#define MLFLOW_TRACE_VERSION "\(.*\)"/\1/p' include/mlflow_trace.h)
ABI_MAJOR = $(shell sed -n 's/^\#define MLFLOW_TRACE_ABI_VERSION //p' include/mlflow_trace.h)
# The newest function tells the minor.
ABI = $(shell sed 's/^.* //' ffi/abi/symbols.txt | grep '^$(ABI_MAJOR)\.' | sort -V | tail -n 1)
PACKAGED := $(STAMPS)/packaged
PACKAGING := $(wildcard packaging/*) ffi/abi/symbols.txt ffi/abi/static-libs.txt

.PHONY: install tarball

# The static library is one object whose only global names are those of the header, so that it meets no other Rust
# library in a program. The bitcode that Rust's standard library comes with is of use to rustc alone.
$(PACKAGED)/libmlflow_trace.a: $(STAMPS)/library ffi/abi/symbols.txt
	@mkdir -p $(@D)
	sed '/^#/d; s/ .*//' ffi/abi/symbols.txt > $(@D)/globals
	ld -r --whole-archive $(RELEASE)/libmlflow_trace.a -o $(@D)/whole.o
	objcopy --strip-debug --remove-section=.llvmbc --remove-section=.llvmcmd --keep-global-symbols=$(@D)/globals $(@D)/whole.o $(@D)/mlflow_trace.o
	rm -f $@ $(@D)/whole.o
	ar rcsD $@ $(@D)/mlflow_trace.o
	rm $(@D)/mlflow_trace.o

$(PACKAGED)/libmlflow_trace.so: $(STAMPS)/library
	@mkdir -p $(@D)
	objcopy --strip-unneeded $(RELEASE)/libmlflow_trace.so $@

# Paths in the installed files are relative to those files: the tree may be moved.
FILL = sed -e 's,@VERSION@,$(PACKAGE_VERSION),' -e 's,@ABI_MAJOR@,$(ABI_MAJOR),g' -e 's,@ABI@,$(ABI),g' \
    -e 's,@POINTER_BYTES@,'$$(($$(getconf LONG_BIT) / 8))',g' -e "s,@STATIC_LIBS@,$$(cat ffi/abi/static-libs.txt),g" \
    -e 's,@INCLUDE@,'$$(realpath -m --relative-to='$(libdir)/pkgconfig' '$(includedir)')',g'

install: $(PACKAGED)/libmlflow_trace.a $(PACKAGED)/libmlflow_trace.so $(PACKAGING) ## Install the C library below PREFIX (/usr/local), with pkg-config and CMake files
	@install -d '$(DESTDIR)$(libdir)/pkgconfig' '$(DESTDIR)$(libdir)/cmake/mlflow_trace' '$(DESTDIR)$(includedir)' '$(DESTDIR)$(PREFIX)/share/doc/mlflow_trace'
	@install -m 755 $(PACKAGED)/libmlflow_trace.so '$(DESTDIR)$(libdir)/libmlflow_trace.so.$(ABI)'
	@ln -sfn libmlflow_trace.so.$(ABI) '$(DESTDIR)$(libdir)/libmlflow_trace.so.$(ABI_MAJOR)'
	@ln -sfn libmlflow_trace.so.$(ABI_MAJOR) '$(DESTDIR)$(libdir)/libmlflow_trace.so'
	@install -m 644 $(PACKAGED)/libmlflow_trace.a '$(DESTDIR)$(libdir)/'
	@install -m 644 include/mlflow_trace.h include/mlflow_trace.hpp '$(DESTDIR)$(includedir)/'
	@install -m 644 LICENSE docs/c.md docs/options.md '$(DESTDIR)$(PREFIX)/share/doc/mlflow_trace/'
	@for file in mlflow_trace mlflow_trace-static; do \
	    $(FILL) packaging/$$file.pc.in > "$(DESTDIR)$(libdir)/pkgconfig/$$file.pc"; \
	done
	@for file in mlflow_traceConfig mlflow_traceConfigVersion; do \
	    $(FILL) packaging/$$file.cmake.in > "$(DESTDIR)$(libdir)/cmake/mlflow_trace/$$file.cmake"; \
	done
	@echo "installed mlflow_trace $(PACKAGE_VERSION) (ABI $(ABI)) below $(DESTDIR)$(PREFIX)"

# Nothing of it depends on when or by whom it is made.
TARBALL = mlflow_trace-$(PACKAGE_VERSION)-$(shell $(CC) -dumpmachine)
tarball: ## Pack the installed tree into .build/mlflow_trace-<version>-<machine>.tar.gz
	@rm -rf $(STAMPS)/tarball
	@$(MAKE) --no-print-directory install DESTDIR=$(CURDIR)/$(STAMPS)/tarball/ PREFIX=$(TARBALL) libdir=$(TARBALL)/lib includedir=$(TARBALL)/include
	@tar --sort=name --owner=0 --group=0 --numeric-owner --mtime='UTC 2000-01-01' -C $(STAMPS)/tarball -cf - $(TARBALL) | gzip -9n > $(STAMPS)/$(TARBALL).tar.gz
	@echo "$(STAMPS)/$(TARBALL).tar.gz"
