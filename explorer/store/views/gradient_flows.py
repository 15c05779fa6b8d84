"""Read and write the gradient flows that a search records, one for each network of a study."""

from __future__ import annotations

import json

from sqlalchemy import Connection, select

from explorer.records import BlockFlow, GradientFlow
from explorer.store.checking import OBJECT, damage_at, is_number, read_json
from explorer.store.database import StudyIdentity
from explorer.store.rows import next_revision
from explorer.store.schema import gradients


def read_gradient_flow(study: StudyIdentity, digest: str) -> GradientFlow | None:
    """Return the recorded gradient flow of a network, or None if there is none.

    Args:
        study: The study.
        digest: The network's digest.

    Raises:
        StoreError: The database cannot be read, or the row is damaged.
    """
    query = select(gradients.c.json).where(gradients.c.study_id == study.id, gradients.c.digest == digest)

    def work(connection: Connection) -> GradientFlow | None:
        text = connection.scalar(query)
        if text is None:
            return None
        where = f"explorer_gradients, network {digest}, column json"
        data = read_json(where, text, OBJECT)
        with damage_at(where):
            flow = GradientFlow.from_dict(data)
            numbers = [flow.loss, *(getattr(b, name) for b in flow.blocks for name in BlockFlow.__dataclass_fields__)]
            if not all(each is None or is_number(each) for each in numbers) or flow.digest != digest:
                raise ValueError("a value is not a number, or the digest is that of another network")
        return flow

    return study.database.read(work)


def save_gradient_flow(study: StudyIdentity, flow: GradientFlow) -> None:
    """Write the gradient flow of a network of the study, in place of an earlier one.

    Raises:
        StoreError: The database cannot be written to.
    """
    own = (gradients.c.study_id == study.id, gradients.c.digest == flow.digest)

    def work(connection: Connection) -> None:
        values = {"json": json.dumps(flow.to_dict()), "revision": next_revision(connection, study.id)}
        if connection.execute(gradients.update().where(*own).values(**values)).rowcount == 0:
            connection.execute(gradients.insert().values(study_id=study.id, digest=flow.digest, **values))

    study.database.write(work)
