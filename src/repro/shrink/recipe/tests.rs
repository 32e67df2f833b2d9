use super::*;
use crate::{
    detect::{Severity, causes::Cause},
    ids::{NodeName, Seq, ShardId},
    plan::PlanRequest,
};

fn layers(set: &[&str]) -> Recorded {
    let request = PlanRequest {
        plan: "nightly".to_owned(),
        set: set.iter().map(|text| (*text).to_owned()).collect(),
        date: "2026-11-26".to_owned(),
        ..PlanRequest::default()
    };
    Recorded::of(&crate::plan::load::sources(&request).unwrap())
}

fn at(seconds: u64) -> Elapsed {
    Elapsed::default() + Duration::from_secs(seconds)
}

fn finding(noticed: Elapsed, chain: Vec<Cause>) -> Finding {
    Finding {
        id: "st-1f3a".to_owned(),
        kind: "stall".to_owned(),
        severity: Severity::Critical,
        shard: Some(ShardId(1)),
        nodes: vec![NodeName::of(ShardId(1), 2)],
        start: noticed,
        noticed,
        end: None,
        heights: None,
        duration: Duration::ZERO,
        mainnet: Duration::ZERO,
        summary: String::new(),
        evidence: Vec::new(),
        excused_by: None,
        waived: None,
        causes: Vec::new(),
        chain,
        raised: None,
    }
}

/// The soak begins twenty seconds after the run; each fault of the schedule fired when it was to.
struct Recording {
    plan: Plan,
    layers: Recorded,
    faults: Vec<FaultView>,
    stages: Vec<StageStart>,
}

impl Recording {
    fn of(set: &[&str]) -> Self {
        let layers = layers(set);
        let plan = layers.resolve().unwrap();
        let view = |fault: &PlannedFault| {
            let Trigger::After(after) = fault.trigger else {
                panic!("the nightly's faults have times");
            };
            FaultView::new(&fault.id, &fault.kind, at(20) + after)
        };
        Self {
            faults: plan.schedule.iter().map(view).collect(),
            stages: vec![StageStart {
                stage: Stage::Soak,
                at: at(20),
            }],
            plan,
            layers,
        }
    }

    fn record<'a>(&'a self, finding: &'a Finding) -> Record<'a> {
        Record {
            plan: &self.plan,
            layers: Some(&self.layers),
            finding,
            faults: &self.faults,
            stages: &self.stages,
        }
    }

    /// When the fault in this place fired.
    fn fired(&self, place: usize) -> Elapsed {
        self.faults[place].requested
    }
}

#[test]
fn the_first_try_is_what_had_begun_before_the_finding() {
    let recording = Recording::of(&[]);
    let finding = finding(recording.fired(4), Vec::new());
    let (recipe, problem) = Recipe::of(&recording.record(&finding)).unwrap();
    let faults = recording.plan.schedule.len();
    let drill = usize::from(recording.plan.drill.is_some());
    assert_eq!(problem.episodes.len(), faults + drill);
    let first = &problem.until_noticed;
    let begun: Vec<usize> = first
        .episodes
        .iter()
        .copied()
        .filter(|place| *place < faults)
        .collect();
    assert_eq!(begun, [0, 1, 2, 3, 4]);
    assert!(first.soak < problem.whole.soak, "{first:?}");
    assert_eq!(problem.least_shards, 2, "the finding's shard stays");
    let plan = recipe.plan(first).unwrap();
    assert_eq!(plan.schedule.len(), begun.len());
    assert!(plan.soak.unwrap().0 < Duration::from_secs(3600));
}

#[test]
fn all_of_it_is_the_recorded_schedule_written_out() {
    let recording = Recording::of(&["heartbeat_to=[]"]);
    let finding = finding(at(100), Vec::new());
    let (recipe, problem) = Recipe::of(&recording.record(&finding)).unwrap();
    let plan = recipe.plan(&problem.whole).unwrap();
    assert_eq!(plan.seed, recording.plan.seed);
    assert_eq!(plan.schedule.len(), recording.plan.schedule.len());
    for (one, recorded) in plan.schedule.iter().zip(&recording.plan.schedule) {
        assert_eq!(
            (&one.kind, &one.trigger, one.seed),
            (&recorded.kind, &recorded.trigger, recorded.seed)
        );
        assert!(
            matches!(one.target.who, Who::Nodes(_)),
            "drawn nodes are named: {:?}",
            one.target
        );
        assert!(!one.drawn);
    }
    let written = recipe.layers(&problem.whole).unwrap();
    for key in DROPPED.iter().chain(&["chaos", "sweep"]) {
        assert!(!written.plan.contains_key(*key), "{key}");
    }
}

#[test]
fn a_shape_is_a_smaller_plan() {
    let recording = Recording::of(&["load.rate=40 tx/s"]);
    let finding = finding(recording.fired(6), Vec::new());
    let (recipe, problem) = Recipe::of(&recording.record(&finding)).unwrap();
    let place = (0..6)
        .find(|place| problem.episodes[*place].shards <= 2)
        .unwrap();
    let (begin, _) = problem.episodes[place].time.unwrap();
    let shape = Shape {
        episodes: vec![place],
        shards: 2,
        load: 25,
        earlier: begin - Duration::from_secs(2),
        soak: Some(Soak(Duration::from_secs(90))),
        ..problem.whole.clone()
    };
    let plan = recipe.plan(&shape).unwrap();
    assert_eq!(plan.network.shards, 2);
    assert_eq!(plan.load.rate, 10.0);
    assert_eq!(plan.soak.unwrap().0, Duration::from_secs(90));
    assert_eq!(plan.schedule.len(), 1);
    assert_eq!(
        plan.schedule[0].trigger,
        Trigger::After(Duration::from_secs(2))
    );
    assert_eq!(
        recipe.words(&shape),
        "1 fault, 2 shards x 4, 10 tx/s, 1m 30s"
    );
}

#[test]
fn what_its_targets_do_not_fit_in_is_no_plan() {
    let recording = Recording::of(&[]);
    let finding = finding(at(100), Vec::new());
    let (recipe, problem) = Recipe::of(&recording.record(&finding)).unwrap();
    let shape = Shape {
        shards: 1,
        ..problem.whole
    };
    let error = recipe.plan(&shape).unwrap_err();
    assert!(matches!(error, RecipeError::Plan(_)), "{error}");
}

#[test]
fn faults_in_the_chain_of_causes_are_suspects() {
    let recording = Recording::of(&[]);
    let cause = Cause {
        kind: "fault".to_owned(),
        at: recording.fired(3),
        node: None,
        what: String::new(),
        seq: Seq(1),
        after: Duration::ZERO,
        blocks: 0,
        mainnet: Duration::ZERO,
    };
    let finding = finding(recording.fired(5), vec![cause]);
    let (_, problem) = Recipe::of(&recording.record(&finding)).unwrap();
    assert_eq!(problem.suspects, [3]);
}

#[test]
fn a_run_without_its_layers_is_refused() {
    let recording = Recording::of(&[]);
    let finding = finding(at(100), Vec::new());
    let record = Record {
        layers: None,
        ..recording.record(&finding)
    };
    assert!(matches!(Recipe::of(&record), Err(RecipeError::NoLayers)));
}
