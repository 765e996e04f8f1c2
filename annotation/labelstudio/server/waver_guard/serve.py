"""Set Label Studio's database up if need be, then serve it: `python -m waver_guard.serve`.

Both happen in one process, because importing Label Studio takes longer than checking that
nothing is to be done.
"""

import argparse
import gc
import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "waver_guard.settings")


def set_up():
    """Bring the database up to date and make sure that the service account is there."""
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connection, connections
    from django.db.migrations.executor import MigrationExecutor

    from waver_guard.accounts import make_service

    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        with connection.cursor() as cursor:
            # A crash in the middle starts over from the last migration that is on the disk.
            cursor.execute("SET synchronous_commit TO off")
        call_command("migrate", verbosity=0, interactive=False)
    make_service(token=settings.WAVER_SERVICE_TOKEN)
    connections.close_all()


def serve(bind):
    """Serve at `bind` (host:port) with one process and twelve threads, until a signal ends it."""
    from gunicorn.app.base import BaseApplication

    class Server(BaseApplication):
        def load_config(self):
            values = {
                "bind": bind,
                "workers": 1,
                "worker_class": "gthread",
                "threads": 12,
                "timeout": 120,
                "graceful_timeout": 5,
                "preload_app": True,
                "control_socket_disable": True,
                "accesslog": None,
                "proc_name": "label-studio",
            }
            for name, value in values.items():
                self.cfg.set(name, value)

        def load(self):
            from django.core.wsgi import get_wsgi_application

            application = get_wsgi_application()
            gc.collect()
            gc.freeze()  # shared with the forked process for as long as possible
            return application

    Server().run()


def main():
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(prog="python -m waver_guard.serve", description=__doc__)
    parser.add_argument("--bind", default="127.0.0.1:8081", help="host:port to listen on")
    parser.add_argument("--setup-only", action="store_true", help="prepare the database and stop")
    options = parser.parse_args()
    set_up()
    if not options.setup_only:
        serve(options.bind)


if __name__ == "__main__":
    main()
