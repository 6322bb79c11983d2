"""TrafficEngine: what runs in a process while there are routes, rollouts or experiments."""

from __future__ import annotations

import functools
from collections.abc import Collection

from penstock.app.traffic import Joined, Permits
from penstock.core.errors import NotFound
from penstock.core.ids import VersionChoice
from penstock.core.messages import InferRequest
from penstock.core.servable import InferenceClient
from penstock.core.status import VersionState
from penstock.dialects.open_inference.rest_request import decode_infer
from penstock.lifecycle.stream import nearest_name
from penstock.rollout.book import RoutingBook
from penstock.rollout.controller import Decider, RolloutController
from penstock.rollout.experiment.control import ExperimentControl
from penstock.rollout.experiment.decider import ExperimentDecider
from penstock.rollout.experiment.experiments import Experiments
from penstock.rollout.outside import prometheus
from penstock.rollout.outside.http_call import call
from penstock.rollout.outside.sources import Sources
from penstock.rollout.outside.teller import MakeSender
from penstock.rollout.outside.webhook import WebhookSender
from penstock.rollout.reporter import Reporter, Versions
from penstock.rollout.rollout_decider import RolloutDecider
from penstock.rollout.spec import Webhook
from penstock.server.control_api.looking import Looker
from penstock.server.control_api.traffic_control import Plant, TrafficControl
from penstock.server.experiment_api import ExperimentApi
from penstock.server.service import ModelService
from penstock.telemetry.rollout_stats import RolloutStats


class TrafficEngine:
    """Reports what this process counts, decides where it is its turn, and answers operators.

    Args:
        service: of the process.
        client: asks golden requests.
        book: what this process was told.
        experiments: its exposures and outcomes.
        joined: what it shares.
        permits: what a client may have the server do.

    Attributes:
        control: what operators do.

    Concurrency: the event loop's thread only. The constructor starts nothing.
    """

    def __init__(
        self,
        service: ModelService,
        client: InferenceClient,
        book: RoutingBook,
        experiments: Experiments,
        joined: Joined,
        permits: Permits,
    ) -> None:
        self._service = service
        store, share, me = joined.store, joined.share, joined.process_id
        clock, stats = service.clock, service.edge.rollouts or RolloutStats()
        service.edge.rollouts = stats
        hosts = permits.outbound_hosts
        sources = Sources(
            client=client,
            read_request=self._read_request,
            outcomes=experiments,
            ask_prometheus=functools.partial(prometheus.ask, hosts=hosts),
        )
        self._reporter = Reporter(book, store, me, self._versions_of, clock=clock)
        deciders: list[Decider] = [
            RolloutDecider(store, sources, stats, clock=clock, make_sender=_sender_to(hosts)),
            ExperimentDecider(experiments, store, clock=clock),
        ]
        self._controller = RolloutController(book, store, share, me, deciders, stats)
        over_experiments = ExperimentControl(
            experiments, book, store, share, self._versions_of, clock=clock
        )
        self.control = TrafficControl(
            Plant(
                book=book,
                share=share,
                records=store,
                look=Looker(store, experiments).look,
                versions_of=self._versions_of,
                known=self._known,
                clock=clock,
                notes=joined.notes,
                comparisons=permits.comparisons,
                outbound_hosts=hosts,
            ),
            over_experiments,
            ExperimentApi(over_experiments, experiments, self._known, joined.notes),
        )

    def start(self) -> None:
        """Begin: this process follows what is shared."""
        self._reporter.start()
        self._controller.start()

    async def leave(self) -> None:
        """Decide no more, leave that to the others, and report for the last time."""
        await self._controller.close()
        await self._reporter.close()

    def _versions_of(self, model: str) -> Versions:
        """How a model's versions stand in this process. One that answers fails all the same where
        what is stored of it now cannot be loaded: the next start would be without it.
        """
        manager = self._service.manager
        down = [one for one in manager.statuses(model) if one.state is VersionState.FAILED]
        failed = {one.id.version: one.reason for one in (*down, *manager.failures(model))}
        return Versions(tuple(manager.ready_versions(model)), failed)

    def _known(self, model: str) -> Collection[int]:
        """The versions that the repository holds of a model.

        Raises:
            NotFound: there is no such model.
        """
        statuses, names = self._service.index()
        if model not in names:
            near = nearest_name(model, names)
            raise NotFound(f"Request for unknown model: '{model}' is not found{near}")
        return {one.id.version for one in statuses if one.id.name == model}

    def _read_request(self, body: bytes, model: str, choice: VersionChoice) -> InferRequest:
        return decode_infer(
            body,
            model=model,
            choice=choice,
            header_length=None,
            signature_of=lambda: self._service.model(model, choice).signature,
            now_ns=self._service.clock.monotonic_ns(),
        ).request


def _sender_to(hosts: tuple[str, ...]) -> MakeSender:
    """Makes webhooks that reach these hosts; empty: see ``outbound.check_host``."""

    def make_sender(webhook: Webhook) -> WebhookSender:
        return WebhookSender(webhook, post=functools.partial(call, hosts=hosts))

    return make_sender
