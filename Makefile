# Every way in. Each target installs what it needs and can be run first.
.PHONY: help deps test-deps build demo test bench peers parity lib clean

help:
	@echo 'make demo    install what is missing, build, caption sample pictures'
	@echo 'make test    every test (about half an hour on two cores)'
	@echo 'make build   the programs .build/release/rudolph and .build/release/rudolph-quant'
	@echo 'make lib     the static library build/lib/<arch>/librudolph.a; ARCH=aarch64 for ARM, SERIAL=1 without OpenMP'
	@echo 'make bench   kernels and stages of this machine'
	@echo 'make peers   ours beside llama.cpp, CTranslate2, onnxruntime and the reference, in turns; installs them first'
	@echo 'make parity  comparison with the reference in PyTorch, in its own virtual environment'

deps:
	@Scripts/install-packages.sh libomp-dev libpng-dev libssl-dev libturbojpeg0-dev pkg-config

test-deps: deps
	@Scripts/install-packages.sh gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static

build: deps
	swift build -c release --static-swift-stdlib --product rudolph
	swift build -c release --static-swift-stdlib --product rudolph-quant

demo: deps
	swift build -c release --static-swift-stdlib --product rudolph
	@Scripts/demo.sh

test: test-deps
	@Scripts/test.sh

bench: build
	@Benchmarks/run.sh

peers: deps
	@Scripts/install-packages.sh cmake g++ ninja-build python3-venv
	@Benchmarks/peers/run.sh

parity: build
	@Tests/Parity/run.sh

lib:
	@Scripts/build-library.sh $(or $(ARCH),$(shell uname -m)) build/lib/$(or $(ARCH),$(shell uname -m)) $(if $(SERIAL),serial)

clean:
	rm -rf .build build
