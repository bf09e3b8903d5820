# Nextbest on your machine: short names for the commands of ./nextbest, and the checks. `make` alone lists the targets.

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

# What is typed is taken as it is: a dollar, a quote or $(...) in it is neither make's nor the shell's to interpret.
# Recipes use these as the shell's variables, in double quotes.
AS_TYPED := FILE PROGRAM EVENT_TYPE ASSET MIN_WEIGHT URL KEY STATE COLUMN_NAMES REJECTS TARGETS PLOTS
$(foreach name,$(AS_TYPED),$(if $(filter command environment,$(firstword $(origin $(name)))),\
  $(eval override $(name) := $$(value $(name)))))
export $(AS_TYPED)

PACKAGES := $(wildcard layers functions tools tests)
IN_TWO_WORKERS := -n 2 --dist loadfile --no-loadscope-reorder

export PYTHON
export PYTHONPATH := $(CURDIR)/layers/nextbest:$(CURDIR)
export SAM_CLI_TELEMETRY := 0
# Where it is set, every process would compile all that it imports again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help start stop reset logs load rebase campaign experiment doctor start-docker test check types tests test-docker audit evaluate spark-archive bench soak cost coverage screenshots format install install-dev install-spark

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */\1|/' | column -t -s'|'

start: install ## start everything on http://127.0.0.1:3000 with a demo program (PORT=, STATE=)
	@./nextbest start --port $(PORT) --state "$$STATE"

stop: ## stop a stack that runs in the background
	@./nextbest stop --state "$$STATE"

reset: ## delete everything the stack has stored
	@./nextbest reset --state "$$STATE"

logs: ## follow the log of a function: make logs FUNCTION=actions
	@./nextbest logs $(FUNCTION) --state "$$STATE"

load: install ## load your events: make load FILE=events.csv PROGRAM=name (COLUMN_NAMES=, REJECTS=, ALLOW_REJECTS=1)
	@$(if $(and $(FILE),$(PROGRAM)),,echo 'Name the file and the program: make load FILE=events.csv PROGRAM=name'; exit 2)
	@NEXTBEST_KEY="$${KEY:-$$(./nextbest key)}" ./nextbest load --program "$$PROGRAM" --url "$$URL" --state "$$STATE" \
	  $${COLUMN_NAMES:+--columns "$$COLUMN_NAMES"} $${REJECTS:+--rejects "$$REJECTS"} \
	  $(if $(ALLOW_REJECTS),--allow-rejects) $(if $(LITERAL_NULLS),--literal-nulls) -- "$$FILE"

rebase: install ## learn a program's model, and wait for the end: make rebase PROGRAM=name
	@$(if $(PROGRAM),,echo 'Name the program: make rebase PROGRAM=name'; exit 2)
	@NEXTBEST_KEY="$${KEY:-$$(./nextbest key)}" ./nextbest rebase --program "$$PROGRAM" --url "$$URL"

campaign: install ## who is likeliest, and why: make campaign PROGRAM=name EVENT_TYPE=upgrade ASSET=team-plan (MIN_WEIGHT=)
	@$(if $(and $(PROGRAM),$(EVENT_TYPE),$(ASSET)),,echo 'Name the program and the action: make campaign PROGRAM=name EVENT_TYPE=upgrade ASSET=team-plan'; exit 2)
	@NEXTBEST_KEY="$${KEY:-$$(./nextbest key)}" ./nextbest campaign --program "$$PROGRAM" --url "$$URL" \
	  $${MIN_WEIGHT:+--min-weight "$$MIN_WEIGHT"} -- "$$EVENT_TYPE" "$$ASSET"

experiment: install ## play four weeks of an experiment with a known effect on the local stack (docs/guides/experiments.md)
	@./nextbest experiments demo --state "$$STATE"

doctor: ## check the local stack, and say how to fix what is wrong
	@./nextbest doctor --state "$$STATE"

start-docker: install ## the same on the plain `sam local start-api` (needs Docker, and python3.13 on the PATH)
	@./nextbest start-docker --port $(PORT) --state "$$STATE" -- $(SAM_OPTIONS)

test check: install-dev ## everything that CI checks and that needs no Docker
	.venv/bin/ruff check $(PACKAGES)
	.venv/bin/ruff format --check $(PACKAGES)
	@$(MAKE) --no-print-directory --jobs=2 types tests

screenshots: install-dev ## make the pictures of docs/console.md again (needs Chromium)
	@NEXTBEST_SCREENSHOTS=docs/images/console .venv/bin/python -m pytest tests/browser -k picture

types:
	@.venv/bin/mypy $(PACKAGES)

tests: # two workers; tests/conftest.py says what they share
	@.venv/bin/python -m pytest $(IN_TWO_WORKERS)

test-docker: install-dev ## make start-docker, all samples of events/ and Ctrl-C, where Docker is
	@.venv/bin/python -m pytest tests/docker -mdocker

coverage: install-dev ## how much of each package the tests run that need no stack
	@.venv/bin/python -m pytest tests/unit tests/functions tests/store $(IN_TWO_WORKERS) --cov --cov-report=

audit: install-dev ## known vulnerabilities in what a deployment runs
	@.ci/audit

evaluate: install-dev ## our model against the classic methods: make evaluate FILE=events.csv.gz
	@$(if $(FILE),,echo 'Name the file of events: make evaluate FILE=events.csv.gz'; exit 2)
	@./nextbest evaluate --targets "$$TARGETS" --plots "$$PLOTS" $${COLUMN_NAMES:+--columns "$$COLUMN_NAMES"} \
	  $(if $(ALLOW_REJECTS),--allow-rejects) $(if $(LITERAL_NULLS),--literal-nulls) -- "$$FILE"

spark-archive: install-dev ## make the archive that Spark jobs run (docs/operations.md)
	@./nextbest build-spark

bench: install-dev ## latency of requests, as ratios to two yardsticks measured beside them
	@./nextbest bench

soak: install-dev ## mixed load for MINUTES=10, then an audit that no event was lost or doubled
	@./nextbest soak --minutes $(MINUTES)

cost: install-dev ## a million requests in dollars, from what `make bench` measured
	@./nextbest cost

format: install-dev ## format the code
	.venv/bin/ruff check --fix-only $(PACKAGES)
	.venv/bin/ruff format $(PACKAGES)

install:
	@./nextbest install local

install-dev:
	@./nextbest install dev

install-spark: ## install Spark and Java 17, for rebases that are too large for one process
	@./nextbest install spark
