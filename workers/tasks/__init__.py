"""What the workers do, one module per app: load a row, call a service, stop.

Importing this package registers every handler. A new module is one line here.
"""

from workers.tasks import annotation as annotation
from workers.tasks import datasets as datasets
from workers.tasks import maintenance as maintenance
from workers.tasks import masking as masking
from workers.tasks import quality as quality
from workers.tasks import recordings as recordings
from workers.tasks import signals as signals
from workers.tasks import transcribing as transcribing
