# The two commands of the README, and what they are made of. `make setup` installs what is missing (as root).
NODE := node_modules/.bin/node --disable-warning=ExperimentalWarning
# Programs in Go need the standard library alone: no C compiler, nothing to download.
GO_FOLDERS := guest-agent src/image/jail src/runtime/gvisor/launcher
GO := PATH="$$PATH:/usr/local/go/bin" CGO_ENABLED=0 GOFLAGS=-mod=mod GOPROXY=off go
UNIT := $(shell git ls-files --cached --others --exclude-standard 'src/*.test.ts' 'sdk/*.test.ts' 'test/*.test.ts' ':!test/system' ':!test/long' 2>/dev/null)
SYSTEM := $(wildcard test/system/*.test.ts)
LONG := $(wildcard test/long/*.test.ts)

.PHONY: setup runsc demo test test-all test-kvm fuzz check bench format docs clean templates

setup:
	@scripts/setup.sh

demo: setup
	@$(NODE) examples/demo.ts

templates: setup
	@$(NODE) scripts/templates.ts base python code-interpreter

# Go first, so that the last lines are Node's totals.
test: templates
	@cd guest-agent && $(GO) vet ./... && $(GO) test ./...
	@$(NODE) scripts/test.ts $(UNIT) -- $(SYSTEM)

test-all: templates
	@cd guest-agent && $(GO) vet ./... && $(GO) test ./...
	@$(NODE) scripts/test.ts $(UNIT) -- $(SYSTEM) $(LONG)

# Real KVM inside an emulated host: minutes, and no part of `test`. CASEMATE_FIRECRACKER and CASEMATE_CLOUD_HYPERVISOR
# name the programs whose suites are to run there too.
test-kvm: templates
	@$(NODE) test/kvm/run.ts $(filter-out src/runtime/gvisor/%,$(wildcard src/runtime/*/driver.test.ts))

# What breaks a parser is kept in the corpus, as a file whose name begins with "crash-" (Go: a hash, in testdata/fuzz).
fuzz: setup
	@CASEMATE_FUZZ_SECONDS=$${CASEMATE_FUZZ_SECONDS:-120} $(NODE) --test test/fuzz.test.ts
	@cd guest-agent && $(GO) test -run '^$$' -fuzz '^FuzzDecoder$$' -fuzztime $${CASEMATE_FUZZ_SECONDS:-120}s .

# gVisor's newest build in the place of Debian's, where Go's module proxy can be reached.
runsc: setup
	@scripts/newest-runsc.sh

check: setup
	@node_modules/.bin/biome format .
	@node_modules/.bin/biome lint --error-on-warnings .
	@node_modules/.bin/tsc --noEmit
	@$(NODE) scripts/generate.ts --check
	@PATH="$$PATH:/usr/local/go/bin"; test -z "$$(gofmt -l $(GO_FOLDERS))" || { gofmt -l $(GO_FOLDERS); exit 1; }
	@for folder in $(GO_FOLDERS); do (cd $$folder && $(GO) vet ./...) || exit 1; done

bench: templates
	@$(NODE) bench/run.ts

format:
	@node_modules/.bin/biome format --write .
	@PATH="$$PATH:/usr/local/go/bin"; gofmt -w $(GO_FOLDERS)

docs: setup
	@node_modules/.bin/typedoc --options sdk/typescript/typedoc.json

clean:
	@rm -rf build node_modules sdk/typescript/dist
