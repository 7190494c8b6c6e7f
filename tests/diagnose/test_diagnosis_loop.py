"""One job, exactly one diagnosis, whatever the model and the governor do."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from pump_cases import completion, finding_of, job_of, pump_card

from edge_agent.config.diagnose import DiagnoseSection
from edge_agent.config.settings import StoreSection
from edge_agent.diagnose.library import CardLibrary, load_card
from edge_agent.diagnose.prompt import PROMPT_VERSION, answer_schema, prompt_version
from edge_agent.diagnose.retry import Step, decide
from edge_agent.diagnose.runner import Desk, DiagnosisLoop
from edge_agent.domain.audit import DiagnosisRecord
from edge_agent.domain.card import Card
from edge_agent.domain.completion import Completion, CompletionRequest
from edge_agent.domain.diagnosis import Diagnosis
from edge_agent.domain.job import Job, JobState
from edge_agent.domain.level import Allowance, Level, Spent
from edge_agent.errors import BadAnswer, BadConfig, Unavailable
from edge_agent.simulate.faults import FaultName
from edge_agent.store.database import Store

Model = Callable[[CompletionRequest, Callable[[], bool]], Completion]
ANSWER = completion('{"explanation": "The flow fell.", "evidence": ["e1"]}')


def answers(_request: CompletionRequest, _cancelled: Callable[[], bool]) -> Completion:
    return ANSWER


def fails(error: Exception) -> Model:
    def complete(_request: CompletionRequest, _cancelled: Callable[[], bool]) -> Completion:
        raise error

    return complete


class Bench:
    """A desk on which everything that leaves the loop is kept."""

    def __init__(
        self,
        model: Model,
        level: Level = Level.FULL,
        card: Card | None = None,
        *,
        wait_s: float = 0.0,
    ) -> None:
        self.finished: list[tuple[Diagnosis, JobState]] = []
        self.retried: list[tuple[str, float, str]] = []
        self.put_back: list[Job] = []
        self.overtaken = False
        desk = Desk(
            claim=lambda: None,
            finish=lambda record, state: self.finished.append((record.diagnosis, state)),
            retry=lambda *what: self.retried.append(what),
            put_back=self.put_back.append,
            overtaken=lambda _job: self.overtaken,
            admit=lambda _job: Allowance(level, "as told", wait_s=wait_s),
            charge=lambda _completion, wall, cpu: Spent(wall, cpu, 4.0 * cpu, measured=False),
            complete=model,
            clock=lambda: 1.0e9,
        )
        self.loop = DiagnosisLoop(desk, DiagnoseSection(), lambda _name: card, "gw")

    def work(self, job: Job, stop: threading.Event | None = None) -> Bench:
        self.loop.work(job, stop or threading.Event())
        return self


JOB = job_of(finding_of(FaultName.OUTLET_VALVE_CLOSING))


def test_the_models_answer_is_published_with_its_cost() -> None:
    [(diagnosis, state)] = Bench(answers, card=pump_card()).work(JOB).finished
    assert state is JobState.DONE
    assert diagnosis.source == "model"
    assert diagnosis.model is not None
    assert diagnosis.model.prompt_version
    assert "The flow fell." in diagnosis.explanation
    assert (diagnosis.cost.tokens_out, diagnosis.cost.joules) == (40, 8.0)


def test_the_plants_instructions_follow_ours_and_mark_the_result() -> None:
    asked: list[CompletionRequest] = []

    def model(request: CompletionRequest, _cancelled: Callable[[], bool]) -> Completion:
        asked.append(request)
        return ANSWER

    bench = Bench(model, card=pump_card())
    bench.work(JOB)
    mine = DiagnoseSection(instructions="Call the tank\n the feed vessel.")
    bench.loop.use(mine, lambda _name: pump_card())
    bench.work(JOB)
    assert asked[1].system == f"{asked[0].system} Call the tank the feed vessel."
    models = [diagnosis.model for diagnosis, _ in bench.finished]
    versions = [model.prompt_version for model in models if model is not None]
    assert versions == [PROMPT_VERSION, prompt_version(mine.instructions)]
    assert len(set(versions)) == 2


@pytest.mark.parametrize("error", [BadAnswer("no JSON"), Unavailable("worker lost")])
def test_a_failure_is_tried_again_and_ends_in_the_rules_answer(
    error: BadAnswer | Unavailable,
) -> None:
    bench = Bench(fails(error), card=pump_card())
    attempts = DiagnoseSection().attempts
    for attempt in range(1, attempts):
        bench.work(job_of(JOB.finding, attempts=attempt))
    assert len(bench.retried) == attempts - 1
    assert bench.finished == []
    [(diagnosis, state)] = bench.work(job_of(JOB.finding, attempts=attempts)).finished
    assert diagnosis.source == "rules"
    assert str(error) in diagnosis.source_reason
    wanted = JobState.QUARANTINED if isinstance(error, BadAnswer) else JobState.DONE
    assert state is wanted


def test_attempts_that_a_crash_cut_off_count() -> None:
    attempts = DiagnoseSection().attempts + 1
    bench = Bench(fails(AssertionError("asked")), card=pump_card())
    [(diagnosis, _)] = bench.work(job_of(JOB.finding, attempts=attempts)).finished
    assert diagnosis.source == "rules"


@pytest.mark.parametrize("level", [Level.RULES_ONLY, Level.PAUSED])
def test_under_pressure_the_rules_answer_at_once(level: Level) -> None:
    bench = Bench(fails(AssertionError("asked")), level, pump_card())
    [(diagnosis, _)] = bench.work(JOB).finished
    assert diagnosis.source == "rules"
    assert diagnosis.governor_level is level
    assert diagnosis.fault is not None


def test_without_a_card_the_evidence_is_published_undetermined() -> None:
    [(diagnosis, _)] = Bench(answers).work(JOB).finished
    assert diagnosis.verdict == "undetermined"
    assert "no equipment card" in diagnosis.source_reason
    assert diagnosis.evidence


def test_a_stop_while_the_model_works_puts_the_job_back() -> None:
    stop = threading.Event()

    def stopped(_request: CompletionRequest, cancelled: Callable[[], bool]) -> Completion:
        stop.set()
        assert cancelled()
        raise Unavailable("the request was cancelled")

    bench = Bench(stopped, card=pump_card()).work(JOB, stop)
    assert bench.finished == []
    assert bench.retried[0][:2] == (JOB.id, 1.0e9)


def test_who_waits_for_energy_lets_a_more_urgent_job_go_first(tmp_path: Path) -> None:
    store = Store.open(tmp_path, StoreSection(ballast_mb=0))
    hot = JOB.finding.model_copy(update={"incident_id": "hot"})
    urgent = job_of(hot, priority=0, created_at=2e9, attempts=0)
    answered: list[str] = []
    stop = threading.Event()

    def admit(job: Job) -> Allowance:
        if job.priority == 0:
            return Allowance(Level.FULL, "the reserve is open to it")
        store.jobs.enqueue(urgent)  # comes while the other waits; the second time it is known
        return Allowance(Level.FULL, "saving", wait_s=0.0 if answered else 60.0)

    def finish(record: DiagnosisRecord, state: JobState) -> None:
        job = record.circumstances.job
        store.jobs.finish(job, state)
        answered.append(job.incident_id)
        if len(answered) == 2:
            stop.set()

    desk = Desk(
        claim=lambda: store.jobs.claim(2e9),
        finish=finish,
        retry=store.jobs.retry,
        put_back=lambda job: store.jobs.put_back(job.id),
        overtaken=lambda job: store.jobs.overtaken(job.priority, 2e9),
        admit=admit,
        charge=lambda _completion, wall, cpu: Spent(wall, cpu, 0.0, measured=False),
        complete=answers,
    )
    store.jobs.enqueue(job_of(JOB.finding, attempts=0))
    DiagnosisLoop(desk, DiagnoseSection(), lambda _name: pump_card(), "gw").run(stop)
    assert answered == ["hot", JOB.incident_id]
    waited = store.jobs.get(JOB.id)
    assert waited is not None
    assert waited.attempts == 1  # having waited is no attempt
    store.close()


def test_a_stop_while_waiting_for_energy_counts_no_attempt() -> None:
    stop = threading.Event()
    bench = Bench(answers, card=pump_card(), wait_s=60.0)
    thread = threading.Thread(target=bench.work, args=(JOB, stop))
    thread.start()
    stop.set()
    while thread.is_alive():
        bench.loop.notify()
        thread.join(0.05)
    assert bench.put_back == [JOB]
    assert bench.finished == []


def test_retries_double_and_end() -> None:
    lost = Unavailable("lost")
    delays = [decide(lost, attempt, 4).delay_s for attempt in (1, 2, 3)]
    assert delays == [1.0, 2.0, 4.0]
    assert decide(lost, 4, 4).step is Step.RULES
    assert decide(BadAnswer("bad"), 4, 4).step is Step.QUARANTINE


CARD = """
equipment = "press"
[signals.force]
unit = "kN"
[[faults]]
id = "worn"
title = "Worn die"
description = "The force rises."
symptoms = { force = "rises" }
"""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("symptoms", "symptons"), ["faults.0.symptons", "symptoms"]),
        (('"rises"', '"explodes"'), ["explodes", "rises", "falls"]),
        (("force = ", "farce = "), ["farce", "force"]),
        (('title = "Worn die"', ""), ["faults.0.title"]),
        (("[signals.force]", "[signals.force"), ["TOML"]),
    ],
)
def test_a_wrong_card_is_refused_with_the_place(
    tmp_path: Path, change: tuple[str, str], words: list[str]
) -> None:
    path = tmp_path / "press.toml"
    path.write_text(
        CARD.replace(*change, 1)
        if change[0] != "force = "
        else CARD.replace("{ force = ", "{ farce = ")
    )
    with pytest.raises(BadConfig) as refused:
        load_card(path)
    for word in [str(path), *words]:
        assert word in str(refused.value)


def test_the_most_specific_card_wins_and_twins_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(CARD.replace('"press"', '"press-*"'))
    (tmp_path / "b.toml").write_text(CARD.replace('"press"', '"press-7"'))
    library = CardLibrary.load(tmp_path)
    seven, eight = library.for_equipment("press-7"), library.for_equipment("press-8")
    assert seven is not None
    assert eight is not None
    assert (seven.equipment, eight.equipment) == ("press-7", "press-*")
    assert library.for_equipment("lathe") is None
    (tmp_path / "c.toml").write_text(CARD.replace('"press"', '"press-7"'))
    with pytest.raises(BadConfig, match=r"b\.toml"):
        CardLibrary.load(tmp_path)


def test_an_equipment_json_is_a_minimal_card(tmp_path: Path) -> None:
    path = tmp_path / "equipment.json"
    path.write_text(
        '{"equipment": "rig", "description": "d", "sample_period_s": 1, "columns": '
        '{"flow": "flow through the loop [L/min]"}, "fault_catalogue": {"leak": "flow falls"}}'
    )
    card = load_card(path)
    assert card.signals["flow"].unit == "L/min"
    assert card.signals["flow"].meaning == "flow through the loop"
    assert card.faults[0].id == "leak"


@pytest.mark.parametrize("wait_s", [0.0, 60.0])
def test_a_job_past_its_time_is_answered_by_the_rules_at_once(wait_s: float) -> None:
    late = JOB.model_copy(update={"expires_at": 1.0e9 - 5})
    [(diagnosis, state)] = Bench(answers, card=pump_card(), wait_s=wait_s).work(late).finished
    assert state is JobState.EXPIRED
    assert diagnosis.source == "rules"
    assert "waited too long" in (diagnosis.source_reason or "")


def test_a_clock_that_jumped_ten_years_makes_no_job_late() -> None:
    for years in (-10, 10):
        job = JOB.model_copy(update={"expires_at": 1.0e9 + years * 365 * 86_400.0})
        [(diagnosis, state)] = Bench(answers, card=pump_card()).work(job).finished
        assert state is JobState.DONE
        assert diagnosis.cost.tokens_out == ANSWER.tokens_out


def test_each_attempt_throws_other_dice_and_the_words_fit_the_tokens() -> None:
    asked: list[CompletionRequest] = []

    def model(request: CompletionRequest, _cancelled: Callable[[], bool]) -> Completion:
        asked.append(request)
        raise BadAnswer("the answer did not end")

    bench = Bench(model, card=pump_card())
    for attempt in (1, 2, 2):
        bench.work(job_of(JOB.finding, attempts=attempt))
    seeds = [request.seed for request in asked]
    assert seeds[0] != seeds[1] == seeds[2]
    room = [
        answer_schema(JOB.finding, pump_card().faults[0], tokens)["properties"]["explanation"]
        for tokens in (64, 96, 160, 256)
    ]
    assert [one["maxLength"] for one in room] == [20, 42, 170, 240]
