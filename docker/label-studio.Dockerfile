# Label Studio from our settings module, with the guard that keeps raters blind.
FROM python:3.11-slim-bookworm
ENV PYTHONUNBUFFERED=1
RUN useradd --system --create-home --home-dir /var/lib/label-studio label-studio
WORKDIR /srv
COPY requirements/uv.txt requirements/label-studio.txt ./
RUN pip install --no-cache-dir --require-hashes -r uv.txt \
 && uv venv /opt/label-studio \
 && VIRTUAL_ENV=/opt/label-studio uv pip sync --no-cache --require-hashes label-studio.txt
ENV PATH=/opt/label-studio/bin:$PATH
COPY annotation/labelstudio/server/ /srv/guard/
ENV PYTHONPATH=/srv/guard DJANGO_SETTINGS_MODULE=waver_guard.settings
USER label-studio
EXPOSE 8081
