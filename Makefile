# Every target installs what is missing (scripts/setup) and runs with the Node that package.json pins.
NODE := scripts/node
JEST := $(NODE) --experimental-vm-modules --disable-warning=ExperimentalWarning node_modules/jest/bin/jest.js

.PHONY: all setup setup-test build lab test check unit netns kube uml conformance kube-up kube-down fuzz bench clean

all: build

setup:
	@scripts/setup build

setup-test:
	@scripts/setup test

build: setup ## leaves the launcher bin/fibula and the CNI plugin dist/cni/fibula ready to run
	@rm -rf dist
	@$(NODE) node_modules/typescript/bin/tsc -p tsconfig.build.json
	@scripts/build-shim.sh

lab: build ## two racks, three nodes, six pods on this host: sessions, pings, a link cut, a kill -9 (root)
	@bin/fibula lab demo

test: setup-test build ## every tier this machine can run, then a table
	@$(NODE) scripts/test.mjs

check: setup ## format, lint, import direction, types
	@node_modules/.bin/biome check --error-on-warnings .
	@node_modules/.bin/oxlint --deny-warnings src test bench
	@$(NODE) scripts/check-imports.mjs
	@$(NODE) node_modules/typescript/bin/tsc --noEmit

unit: setup
	@$(JEST) --selectProjects unit

netns: setup-test build ## real kernel, real peers, in throwaway namespaces (root)
	@test/netns/run.sh $(TESTS)

kube: setup-test ## against a real kube-apiserver
	@$(JEST) --selectProjects kube $(TESTS)

uml: setup-test build ## kernel modules that this host may lack (IP-in-IP), in user-mode-linux (root)
	@test/uml/run.sh $(TESTS)

conformance: setup-test build ## three real nodes, a BIRD ToR, the chart, upstream's specs: half an hour or more; ARGS='--only specs' for a part (root)
	@scripts/tools --all
	@test/cluster/run.sh test/cluster/conformance.ts $(ARGS)

kube-up: setup-test build ## leaves such a cluster running and says how to use it (root)
	@scripts/kube-up $(ARGS)

kube-down: ## removes it
	@scripts/kube-down

fuzz: setup ## ten million mutated messages into the decoder
	@$(NODE) test/fuzz/wire.ts --messages 10000000

bench: setup-test build ## against BIRD 2, GoBGP and `ip -batch` in the same run; JSON in bench/results
	@$(NODE) bench/main.ts

clean:
	@rm -rf dist bench/results
