//! What a notice looks like to each kind of receiver. Pure.

use serde_json::{Value, json};

use super::notice::{Notice, State};
use crate::{detect::Severity, plan::alerts::AlertKind, time::WallTime};

/// A request: the path below the receiver's base address, and the JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct Payload {
    /// Appended to the address.
    pub path: &'static str,
    /// The body.
    pub body: Value,
}

/// The payload of a notice. `key` is PagerDuty's routing key and nobody else's.
#[must_use]
pub fn payload(kind: AlertKind, notice: &Notice, key: Option<&str>) -> Payload {
    let (path, body) = match kind {
        AlertKind::Webhook => ("", json!(notice)),
        AlertKind::Alertmanager => ("/api/v2/alerts", alertmanager(notice)),
        AlertKind::Pagerduty => ("/v2/enqueue", pagerduty(notice, key.unwrap_or_default())),
        AlertKind::Slack => ("", json!({ "text": slack(notice) })),
    };
    Payload { path, body }
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Minor => "minor",
        Severity::Major => "major",
        Severity::Critical => "critical",
    }
}

fn alertmanager(notice: &Notice) -> Value {
    let mut alerts = Vec::new();
    // Its labels are what an alert is known by: with another severity it is another one, and the old one is over.
    if let Some(was) = notice.was {
        alerts.push(alertmanager_one(notice, was, Some(notice.since)));
    }
    let ends = match notice.state {
        State::Firing => None,
        _ => Some(notice.until.unwrap_or(notice.since)),
    };
    alerts.push(alertmanager_one(notice, notice.severity, ends));
    Value::Array(alerts)
}

fn alertmanager_one(notice: &Notice, severity: Severity, ends: Option<WallTime>) -> Value {
    let mut labels = json!({
        "alertname": notice.kind,
        "canarynet_key": notice.key,
        "plan": notice.plan,
        "severity": word(severity),
    });
    if let Some(shard) = notice.shard {
        labels["shard"] = json!(shard.to_string());
    }
    if notice.drill {
        labels["drill"] = json!("true");
    }
    let mut annotations = json!({
        "summary": notice.summary,
        "run": notice.run,
        "since": notice.since.to_string(),
        "report": notice.report,
        "reproduce": notice.reproduce,
    });
    for (name, value) in [
        ("leader", &notice.leader),
        ("first_cause", &notice.first_cause),
        ("first_seen", &notice.first_seen_words()),
    ] {
        if let Some(value) = value {
            annotations[name] = json!(value);
        }
    }
    let mut alert = json!({
        "labels": labels,
        "annotations": annotations,
        "startsAt": notice.since.to_string(),
    });
    if let Some(ends) = ends {
        alert["endsAt"] = json!(ends.to_string());
    }
    alert
}

fn pagerduty(notice: &Notice, key: &str) -> Value {
    let action = match notice.state {
        State::Resolved => "resolve",
        _ => "trigger",
    };
    let severity = match notice.severity {
        Severity::Critical => "critical",
        Severity::Major => "error",
        Severity::Minor => "warning",
        Severity::Info => "info",
    };
    // Longer texts are refused: summaries above 1024 characters, keys above 255.
    let cut = |text: &str, most: usize| text.chars().take(most).collect::<String>();
    json!({
        "routing_key": key,
        "event_action": action,
        "dedup_key": cut(&notice.key, 255),
        "client": "canarynet",
        "payload": {
            "summary": cut(&notice.headline(), 1_000),
            "source": cut(&notice.run, 200),
            "severity": severity,
            "timestamp": notice.since.to_string(),
            "component": notice.place(),
            "group": notice.plan,
            "class": notice.kind,
            "custom_details": {
                "leader": notice.leader,
                "first_cause": notice.first_cause,
                "first_seen": notice.first_seen_words(),
                "nodes": notice.nodes,
                "report": notice.report,
                "reproduce": notice.reproduce,
            },
        },
    })
}

/// Text for a chat; nothing that a node says mentions anybody or becomes a link.
fn slack(notice: &Notice) -> String {
    let escape = |text: &str| {
        let text = text
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;");
        // What would else be bold, a quote, code, or a call to everybody.
        text.replace(['*', '_', '~', '`'], "\u{b7}")
            .replace('@', "(at)")
    };
    let mut lines = vec![escape(&notice.headline())];
    for (name, value) in [
        ("leader", &notice.leader),
        ("first", &notice.first_cause),
        ("first seen", &notice.first_seen_words()),
    ] {
        if let Some(value) = value {
            lines.push(format!("{name}: {}", escape(value)));
        }
    }
    lines.push(format!("report: {}", escape(&notice.report)));
    lines.push(format!("again: {}", escape(&notice.reproduce)));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::notice::About;

    fn notice(state: State) -> Notice {
        let about = About {
            plan: "nightly".to_owned(),
            run: "nightly-7".to_owned(),
            started: WallTime(1_795_291_200_000),
            report: "runs/7/report.html".to_owned(),
            reproduce: "canarynet soak nightly".to_owned(),
            seen: std::collections::BTreeMap::new(),
        };
        Notice {
            key: "nightly/stall shard 1".to_owned(),
            shard: Some(1),
            leader: Some("s1-n02".to_owned()),
            first_cause: Some("disk-fill <!channel> *s1-n02*".to_owned()),
            until: (state == State::Resolved).then_some(WallTime(1_795_291_260_000)),
            ..about.notice(
                state,
                "stall",
                Severity::Critical,
                "no block <script> @here",
            )
        }
    }

    #[test]
    fn an_alertmanager_knows_an_alert_by_labels_that_last() {
        let firing = payload(AlertKind::Alertmanager, &notice(State::Firing), None);
        assert_eq!(firing.path, "/api/v2/alerts");
        let alert = &firing.body[0];
        assert_eq!(alert["labels"]["alertname"], "stall");
        assert_eq!(alert["labels"]["shard"], "1");
        assert_eq!(alert["annotations"]["leader"], "s1-n02");
        assert!(alert.get("endsAt").is_none());
        let over = payload(AlertKind::Alertmanager, &notice(State::Resolved), None);
        assert_eq!(over.body[0]["labels"], alert["labels"]);
        assert_eq!(over.body[0]["endsAt"], "2026-11-21T20:01:00.000Z");
        let mut raised = notice(State::Firing);
        raised.was = Some(Severity::Major);
        let raised = payload(AlertKind::Alertmanager, &raised, None).body;
        assert_eq!(raised[0]["labels"]["severity"], "major");
        assert!(raised[0].get("endsAt").is_some() && raised[1].get("endsAt").is_none());
    }

    #[test]
    fn pagerduty_triggers_and_resolves_by_one_key() {
        let firing = payload(AlertKind::Pagerduty, &notice(State::Firing), Some("secret")).body;
        assert_eq!(firing["event_action"], "trigger");
        assert_eq!(firing["routing_key"], "secret");
        assert_eq!(firing["payload"]["severity"], "critical");
        let over = payload(
            AlertKind::Pagerduty,
            &notice(State::Resolved),
            Some("secret"),
        )
        .body;
        assert_eq!(over["event_action"], "resolve");
        assert_eq!(over["dedup_key"], firing["dedup_key"]);
    }

    #[test]
    fn nothing_in_a_chat_message_is_markup() {
        let text = payload(AlertKind::Slack, &notice(State::Firing), None).body;
        let text = text["text"].as_str().unwrap();
        assert!(!text.contains(['<', '>', '*', '@', '`']), "{text}");
        assert!(text.contains("CRITICAL stall shard 1 of nightly"), "{text}");
    }

    #[test]
    fn a_webhook_gets_what_can_be_read_back() {
        let told = notice(State::Resolved);
        let body = payload(AlertKind::Webhook, &told, Some("secret")).body;
        assert!(!body.to_string().contains("secret"));
        assert_eq!(serde_json::from_value::<Notice>(body).unwrap(), told);
    }
}
