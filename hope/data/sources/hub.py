"""A dataset of the Hugging Face hub, streamed; only data files are read, nothing of it is executed."""

import itertools
from pathlib import Path

from hope.config import Corpus
from hope.data.progress import ProgressLines
from hope.data.sources.document import Collection, text_of
from hope.errors import UserError


def collect(settings: Corpus) -> Collection:
    """Return the first ``settings.hub.documents`` documents of a dataset, at the revision named.

    The dataset may also be a local folder in the hub's layout; a revision means nothing there, and none is
    recorded.

    Raises:
        UserError: the hub does not answer, has no such dataset, configuration, split or revision, or
            the text field is missing.
    """
    # Loading scripts, the one way in which a dataset could bring code, are refused by datasets >= 4
    # whatever one asks; there is no switch left to keep off.
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
    except Exception as error:  # The client lets through errors of a dozen libraries below it.
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise UserError(
            f"corpus.hub: '{hub.dataset}' cannot be read ({reason}); check dataset, name, split and revision, and the "
            "connection (or use corpus.source 'files' on downloaded files)"
        ) from error
    if not collection.documents:
        raise UserError(f"corpus.hub: no document with any text among the first {hub.documents:,} of '{hub.dataset}'")
    collection.origin = {
        "dataset": Path(hub.dataset).name if local else hub.dataset,
        "name": hub.name,
        "split": hub.split,
        "revision": None if local else hub.revision,
        "rows": len(collection.documents) + collection.empty,
    }
    return collection
