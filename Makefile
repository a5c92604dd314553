# Entry points for people. Each target can be run twice and says what it waits for.
JOBS ?= $(shell nproc)
BUILD ?= build
export CCACHE_DIR ?= $(HOME)/.cache/ernie-ccache

.PHONY: help deps build demo test test-venv exam bench clean

help:
	@echo "make demo    install, build, serve the demo model on the CPU and ask it about pictures and a clip"
	@echo "make test    install, build and run every test"
	@echo "make build   build the program at build/ernie"
	@echo "make exam    ask the served demo model 200 exam questions and print its marks"
	@echo "make bench   run the benchmarks and print a table"

deps:
	@tools/install_deps.sh

build: deps
	@echo "build: configuring"
	@cmake -S . -B $(BUILD) -G Ninja >/dev/null
	@echo "build: compiling $(BUILD)/ernie with $(JOBS) jobs (about 4 minutes the first time on 2 cores)"
	@cmake --build $(BUILD) -j $(JOBS) --target ernie

demo: build
	@tools/demo.sh $(BUILD)/ernie

# The API tests drive the server with the official Python client, in an environment of their own.
.venv/ready: tests/api/requirements.txt
	@echo "test: installing the Python client and pytest into .venv (half a minute)"
	@python3 -m venv .venv
	@.venv/bin/pip install -q --disable-pip-version-check -r tests/api/requirements.txt
	@touch .venv/ready

test: build
	@echo "test: compiling the tests (about 4 minutes the first time on 2 cores)"
	@cmake --build $(BUILD) -j $(JOBS)
	@$(MAKE) --no-print-directory .venv/ready
	@echo "test: running the C++ tests"
	@ctest --test-dir $(BUILD) --output-on-failure -j $(JOBS)
	@echo "test: running the API tests with the official client"
	@ERNIE=$(abspath $(BUILD))/ernie .venv/bin/pytest -q tests/api

exam: build
	@tools/exam.sh $(BUILD)/ernie

bench: deps
	@cmake -S . -B build-bench -G Ninja -DERNIE_BENCH=ON -DERNIE_TESTS=OFF >/dev/null
	@echo "bench: compiling"
	@cmake --build build-bench -j $(JOBS)
	@tools/bench.sh build-bench

clean:
	rm -rf $(BUILD) build-bench build-address build-thread build-fuzz build-cuda .venv .venv-web
