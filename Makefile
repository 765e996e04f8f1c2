# The few words that a newcomer needs. `make demo` and `make test` set up everything themselves.
SHELL := /bin/bash
PYTHON ?= python3
UV := .uv/bin/uv
VENV := .venv
RUN := $(VENV)/bin/python
SYNC := $(UV) pip sync --quiet --require-hashes
# Where the development tools are installed, they contain all that the application needs.
APP := $(if $(wildcard $(VENV)/installed-dev),$(VENV)/installed-dev,$(VENV)/installed-app)
LABEL_STUDIO := .venv-label-studio/installed
RIVALS := .venv-rivals/installed
MODELS := $(if $(WAVER_VAR),$(WAVER_VAR),var)/models/prepared

# Compiled modules are kept: without them every process compiles Django, scipy and all else anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo up test test-all bench lint clean requirements
help:
	@echo "make demo    the whole way, from recordings to a released dataset (MEDIA=folder, ONCE=1)"
	@echo "make up      the stack: web, workers, Label Studio"
	@echo "make test    the tests (STRICT=1 fails on any skip); make test-all adds the long ones"
	@echo "make lint    style, types, layers        make bench   speed, against named rivals"
	@echo "make clean   remove the environments and everything in var/"

demo: $(APP) $(LABEL_STUDIO) $(MODELS)
	@$(RUN) manage.py demo $(if $(MEDIA),--media "$(MEDIA)") $(if $(ONCE),--once)

up: $(APP) $(LABEL_STUDIO) $(MODELS)
	@$(RUN) manage.py up

test: $(VENV)/installed-dev $(LABEL_STUDIO) $(MODELS)
	@STRICT=$(STRICT) $(RUN) -m tests "not slow"

test-all: $(VENV)/installed-dev $(LABEL_STUDIO) $(MODELS) $(RIVALS)
	@STRICT=$(STRICT) $(RUN) -m tests ""

bench: $(VENV)/installed-dev $(MODELS) $(RIVALS)
	@$(RUN) -m bench

lint: $(VENV)/installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy platform/waver annotation workers
	$(VENV)/bin/lint-imports --no-cache
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	DJANGO_SETTINGS_MODULE=waver.config.settings.test $(RUN) manage.py check --fail-level WARNING

clean:
	@if [ -e var/run/stack.json ]; then echo "The stack may be running: stop it (Ctrl-C) before 'make clean'."; exit 1; fi
	chmod -R u+w var 2>/dev/null || true
	rm -rf .venv .venv-label-studio .venv-rivals .uv var .mypy_cache .ruff_cache .pytest_cache .hypothesis

# After a change of the dependencies in pyproject.toml. No lock file: it would name registries.
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header
requirements: $(UV)
	$(COMPILE) --excludes requirements/excludes.txt pyproject.toml -o requirements/app.txt
	$(COMPILE) --excludes requirements/excludes.txt pyproject.toml --extra dev -o requirements/dev.txt
	$(COMPILE) --excludes requirements/excludes.txt pyproject.toml --extra speech -o requirements/speech.txt
	$(COMPILE) requirements/label-studio.in -o requirements/label-studio.txt
	$(COMPILE) --excludes requirements/rivals-excludes.txt requirements/rivals.in -o requirements/rivals.txt

$(UV): requirements/uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Waver needs Python 3.11 or newer: set PYTHON=/path/to/python3.11."; exit 1; }
	@$(PYTHON) -m venv .uv || { echo "Install Debian's package python3-venv."; exit 1; }
	@.uv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@

$(VENV)/installed-app: requirements/app.txt pyproject.toml $(UV)
	@echo "Installing Waver …"
	@[ -x $(RUN) ] || $(UV) venv --quiet --python $(PYTHON) $(VENV)
	@VIRTUAL_ENV=$(VENV) $(SYNC) requirements/app.txt
	@VIRTUAL_ENV=$(VENV) $(UV) pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/installed-dev: requirements/dev.txt pyproject.toml $(UV)
	@echo "Installing Waver and its development tools …"
	@[ -x $(RUN) ] || $(UV) venv --quiet --python $(PYTHON) $(VENV)
	@VIRTUAL_ENV=$(VENV) $(SYNC) --compile-bytecode requirements/dev.txt
	@VIRTUAL_ENV=$(VENV) $(UV) pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(LABEL_STUDIO): requirements/label-studio.txt $(UV)
	@echo "Installing Label Studio …"
	@[ -x .venv-label-studio/bin/python ] || $(UV) venv --quiet --python $(PYTHON) .venv-label-studio
	@VIRTUAL_ENV=.venv-label-studio $(SYNC) requirements/label-studio.txt
	@touch $@

# Packages that Waver's statistics are held against, one of which needs an older numpy, and what
# the long tests of transcripts by a model need.
$(RIVALS): requirements/rivals.txt $(UV)
	@echo "Installing the packages to compare with …"
	@[ -x .venv-rivals/bin/python ] || $(UV) venv --quiet --python $(PYTHON) .venv-rivals
	@VIRTUAL_ENV=.venv-rivals $(SYNC) requirements/rivals.txt
	@touch $@

$(MODELS): $(APP)
	@mkdir -p $(@D)
	@$(RUN) -m workers.faces $(@D) >/dev/null
	@touch $@
