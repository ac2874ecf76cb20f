"""A recipe for somebody who has only a dataset: what its rows, the model and the device make of it."""

from sftui.proposal.propose import Proposal, propose

__all__ = ["Proposal", "propose"]
