"""The gradient flows that a search recorded, one a network of a study."""

from __future__ import annotations

import json

from sqlalchemy import Connection, select

from explorer.records import BlockFlow, GradientFlow
from explorer.store.checking import OBJECT, damage_at, is_number, read_json
from explorer.store.database import StudyIdentity
from explorer.store.rows import next_revision
from explorer.store.schema import gradients


def read_gradient_flow(study: StudyIdentity, digest: str) -> GradientFlow | None:
    """The recorded flow of that network; None where there is none."""
    query = select(gradients.c.json).where(gradients.c.study_id == study.id, gradients.c.digest == digest)
    with study.database.read() as connection:
        kept = connection.scalar(query)
        if kept is None:
            return None
        where = f"explorer_gradients, network {digest}, column json"
        data = read_json(where, kept, OBJECT)
        with damage_at(where):
            flow = GradientFlow.from_dict(data)
            figures = [flow.loss, *(getattr(b, name) for b in flow.blocks for name in BlockFlow.__dataclass_fields__)]
            if not all(each is None or is_number(each) for each in figures) or flow.digest != digest:
                raise ValueError("a figure that is no number, or another network")
        return flow


def keep_gradient_flow(study: StudyIdentity, flow: GradientFlow) -> None:
    """Writes the flow of a network of the study, in place of an earlier one. Raises StoreError."""
    own = (gradients.c.study_id == study.id, gradients.c.digest == flow.digest)

    def work(connection: Connection) -> None:
        values = {"json": json.dumps(flow.to_dict()), "revision": next_revision(connection, study.id)}
        if connection.execute(gradients.update().where(*own).values(**values)).rowcount == 0:
            connection.execute(gradients.insert().values(study_id=study.id, digest=flow.digest, **values))

    study.database.write(work)
