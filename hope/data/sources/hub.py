"""A dataset of the Hugging Face hub, streamed; only data files are read, no code is executed."""

import itertools
from pathlib import Path

from hope.config import Corpus
from hope.data.progress import ProgressLines
from hope.data.sources.document import Collection, text_of
from hope.errors import UserError


def collect(settings: Corpus) -> Collection:
    """Return the first ``settings.hub.documents`` documents of a dataset, at the given revision.

    The dataset may also be a local folder in the hub's layout, which has no revision.

    Raises:
        UserError: the hub does not answer, has no such dataset, configuration, split or revision, or
            the text field is missing.
    """
    # datasets >= 4 always refuses loading scripts, the only code that a dataset could contain.
    import datasets

    hub = settings.hub
    collection = Collection()
    local = Path(hub.dataset).is_dir()
    progress = ProgressLines(f"corpus {hub.dataset}")
    datasets.disable_progress_bars()
    try:
        stream = datasets.load_dataset(
            hub.dataset, name=hub.name, split=hub.split, revision=None if local else hub.revision, streaming=True
        )
        for number, row in enumerate(itertools.islice(stream, hub.documents)):
            where = f"corpus.hub: row {number} of '{hub.dataset}'"
            collection.add(f"{hub.split}:{number}", text_of(row, hub.text_field, where, "corpus.hub.text_field"))
            progress.report(f"{number + 1:,} of {hub.documents:,} documents")
    except UserError:
        raise
    except Exception as error:  # The client raises the errors of many libraries below it.
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise UserError(
            f"corpus.hub: '{hub.dataset}' cannot be read ({reason}); check dataset, name, split and revision, and the "
            "connection (or use corpus.source 'files' on downloaded files)"
        ) from error
    if not collection.documents:
        raise UserError(f"corpus.hub: the first {hub.documents:,} documents of '{hub.dataset}' have no text")
    collection.origin = {
        "dataset": Path(hub.dataset).name if local else hub.dataset,
        "name": hub.name,
        "split": hub.split,
        "revision": None if local else hub.revision,
        "rows": len(collection.documents) + collection.empty,
    }
    return collection
