# Every way in. Each target installs what it needs and can be run first.
.PHONY: help toolchain deps test-deps build demo test bench peers parity lib install docs clean

host := $(shell uname -m)
# Of the static library: x86_64, or aarch64, which x86-64 machines can build too.
ARCH ?= $(host)
PREFIX ?= /usr/local
export DESTDIR
# libomp is there for each LLVM, and only one of them can be installed: any will do.
openmp_package := $(if $(wildcard /usr/lib/$(host)-linux-gnu/libomp5.so),,libomp-dev)
cross_packages := gcc-aarch64-linux-gnu libc6-dev-arm64-cross

help:
	@echo 'make demo     install what is missing, build, caption sample pictures'
	@echo 'make test     every test (about half an hour on two cores)'
	@echo 'make build    the programs .build/release/rudolph and .build/release/rudolph-quant'
	@echo 'make lib      the static library build/lib/<arch>/librudolph.a; ARCH=aarch64 for ARM, SERIAL=1 without OpenMP'
	@echo 'make install  programs, demo model, static library and header, in PREFIX=/usr/local; DESTDIR=... comes before it'
	@echo 'make docs     the documentation of the Swift libraries, at http://localhost:8080/documentation/rudolph and .../imagefiles'
	@echo 'make bench    kernels and stages of this machine'
	@echo 'make peers    ours beside llama.cpp, CTranslate2, onnxruntime and the reference, interleaved; installs them first'
	@echo 'make parity   comparison with the reference in PyTorch, in its own virtual environment'
	@echo 'make deps     only the Debian packages that the programs are built with'

# First of all, before packages are installed in vain.
toolchain:
	@. Scripts/toolchain.sh

deps: toolchain
	@Scripts/install-packages.sh $(openmp_package) libpng-dev libssl-dev libturbojpeg0-dev pkg-config

test-deps: deps
	@Scripts/install-packages.sh $(if $(filter x86_64,$(host)),$(cross_packages) qemu-user-static)

build: deps
	swift build -c release --static-swift-stdlib --product rudolph
	swift build -c release --static-swift-stdlib --product rudolph-quant

demo: deps
	swift build -c release --static-swift-stdlib --product rudolph
	@Scripts/demo.sh

test: test-deps
	@Scripts/test.sh

bench: deps
	@Benchmarks/run.sh

peers: deps
	@Scripts/install-packages.sh cmake g++ ninja-build python3-venv
	@Benchmarks/peers/run.sh

parity: build
	@Scripts/install-packages.sh g++ python3-dev python3-venv
	@Tests/Parity/run.sh

lib: toolchain
	@Scripts/install-packages.sh $(if $(filter x86_64-aarch64,$(host)-$(ARCH)),$(cross_packages),$(if $(SERIAL),,$(openmp_package)))
	@Scripts/build-library.sh $(ARCH) build/lib/$(ARCH) $(if $(SERIAL),serial)

install: build lib
	@Scripts/install.sh '$(PREFIX)' .build/release build/lib/$(ARCH)

docs: toolchain
	@Scripts/docs.sh

clean:
	rm -rf .build build
