# Nextbest on your machine. `make` alone lists the targets.

PYTHON ?= python3
PORT   ?= 3000
STATE  ?= .state
PROGRAM ?=
FUNCTION ?=
KEY ?=
SAM_OPTIONS ?=
MINUTES ?= 10
PLOTS ?= .evaluation
TARGETS ?= window
URL ?= http://127.0.0.1:$(PORT)

PACKAGES := $(wildcard layers functions tools tests)
RUN := .venv/bin/python -m

export PYTHONPATH := $(CURDIR)/layers/nextbest:$(CURDIR)
export SAM_CLI_TELEMETRY := 0

.DEFAULT_GOAL := help
.PHONY: help start stop reset logs load doctor start-docker test check lint types audit evaluate bench soak cost format install install-dev

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */\1|/' | column -t -s'|'

start: install ## start everything on http://127.0.0.1:3000 with a demo program (PORT=, STATE=)
	@$(RUN) tools.local start --port $(PORT) --state $(STATE)

stop: ## stop a stack that runs in the background
	@$(RUN) tools.local stop --state $(STATE)

reset: ## forget everything the stack has stored
	@$(RUN) tools.local reset --state $(STATE)

logs: ## follow the log of a function: make logs FUNCTION=actions
	@$(RUN) tools.local logs $(FUNCTION) --state $(STATE)

load: install ## load your events: make load FILE=events.csv PROGRAM=name
	@$(if $(and $(FILE),$(PROGRAM)),,echo 'Say what and where to: make load FILE=events.csv PROGRAM=name'; exit 2)
	@$(RUN) tools.cli.load '$(FILE)' --program '$(PROGRAM)' --url '$(URL)' --key "$(or $(KEY),$$($(RUN) tools.local key))" --state '$(STATE)'

doctor: ## is the local stack well, and what to do where it is not
	@./nextbest --state $(STATE) doctor

start-docker: install ## the plain `sam local start-api` on PORT (needs Docker, and python3.13 on the PATH)
	@$(RUN) tools.local check-docker
	.venv/bin/sam build
	@$(RUN) tools.local start-docker --port $(PORT) --state $(STATE) -- $(SAM_OPTIONS)

test check: install-dev ## everything that CI checks and that needs no Docker
	.venv/bin/ruff check $(PACKAGES)
	.venv/bin/ruff format --check $(PACKAGES)
	.venv/bin/mypy $(PACKAGES)
	.venv/bin/python -m pytest

audit: install-dev ## known vulnerabilities in what a deployment runs
	@.ci/audit

evaluate: install-dev ## our model against the classic methods: make evaluate FILE=events.csv.gz
	@$(if $(FILE),,echo 'Say which events: make evaluate FILE=events.csv.gz'; exit 2)
	@$(RUN) tools.evaluation $(FILE) --targets $(TARGETS) --plots $(PLOTS)

bench: install-dev ## latency of the whole way, as ratios to two yardsticks measured beside it
	$(RUN) tools.benchmarks

soak: install-dev ## mixed load for MINUTES=10, then an audit that no event was lost or doubled
	$(RUN) tools.benchmarks.soak --minutes $(MINUTES)

cost: install-dev ## a million calls in dollars, from what `make bench` measured
	@$(RUN) tools.benchmarks.cost

format: install-dev ## put the code into its one format
	.venv/bin/ruff check --fix-only $(PACKAGES)
	.venv/bin/ruff format $(PACKAGES)

install:
	@$(PYTHON) -m tools.local.install local

install-dev:
	@$(PYTHON) -m tools.local.install dev
