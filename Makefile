# What a developer does, by name. `make` alone lists it.
.PHONY: help run build check test soak bench clean

STATICCHECK = go tool -modfile=tools/go.mod staticcheck

help: ## show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

run: build ## run the server; everything is kept under ./data
	@exec bin/tributary serve

build: ## build bin/tributary
	go build -o bin/tributary ./cmd/tributary

check: ## format, vet, staticcheck, architecture, fast tests
	./scripts/check

test: ## everything, with the race detector and real clients, in small sizes
	./scripts/test

soak: ## the same in big sizes: SIZE=20 make soak
	TRIBUTARY_SOAK=$${SIZE:-20} ./scripts/test

bench: build ## measure the speed bars on a store of its own
	bin/tributary bench

clean: ## remove what was built, not what is kept
	rm -rf bin build
