//! Names and keys at the edges of what the standard allows.

use anyhow::{Context as _, Result, ensure};

use super::serve::interrupt;
use super::{JOIN, Scenario, Scene, Stage, UPLINK, network};
use crate::radio::Hardware;
use crate::station::{Credential, Network, Station, hex};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "names_of_1_to_32_bytes_with_any_character_are_joined",
        hardware: Hardware::radios(2),
        run: names_of_every_kind,
    },
    Scenario {
        name: "passphrases_of_8_and_63_characters_with_every_printable_character_join",
        hardware: Hardware::radios(2),
        run: passphrases_of_every_kind,
    },
    Scenario { name: "a_raw_key_of_32_bytes_joins", hardware: Hardware::radios(2), run: a_raw_key },
    Scenario {
        name: "a_changed_secondary_key_does_not_send_its_users_away",
        hardware: Hardware::radios(3),
        run: a_changed_secondary_key,
    },
];

fn names_of_every_kind(stage: &mut Stage) -> Result<()> {
    let scene = stage.scene()?;
    let mut station = stage.station()?;
    let names: [&str; 6] = [
        "a",
        " leading, trailing and inner   ",
        r#"it's "quoted" \ $HOME `x` #;=%"#,
        "ÄÖÜ 東京 ☕ 🦀 é",
        "12345678901234567890123456789012",
        "☕☕☕☕☕☕☕☕☕☕é",
    ];
    for ssid in names {
        ensure!((1..=32).contains(&ssid.len()), "{ssid:?} has {} bytes", ssid.len());
        join_once(stage, &scene, &mut station, ssid, None)?;
    }
    // Bytes that are no UTF-8 at all, given as digits.
    let bytes = [0xff, 0x00, b'\n', 0x80, b' '];
    let mut up = scene.product.stay([
        "up",
        "--public",
        UPLINK,
        "--ssid",
        &format!("hex:{}", hex(&bytes)),
        "--json",
    ])?;
    await_active(&scene)?;
    let primary = scene.primary_key()?;
    station.join(&Network { ssid: bytes.to_vec(), credential: Credential::Passphrase(primary) }, JOIN)?;
    station.leave()?;
    interrupt(&mut up)
}

/// One round: up with this name and key, join, leave, down.
fn join_once(
    stage: &Stage,
    scene: &Scene,
    station: &mut Station,
    ssid: &str,
    key: Option<&str>,
) -> Result<()> {
    let (key, role) = match key {
        Some(key) => {
            scene.product.feed(["key", "set"], key.as_bytes())?;
            (key.to_owned(), "secondary")
        }
        None => (String::new(), "primary"),
    };
    let mut up = scene.up(ssid).with_context(|| format!("the name is {ssid:?}"))?;
    let key = if role == "primary" { scene.primary_key()? } else { key };
    let joined = station.join(&network(ssid, &key), JOIN);
    joined.with_context(|| format!("name {ssid:?}, key {key:?}"))?;
    scene.await_peer(station, role)?;
    station.leave()?;
    interrupt(&mut up)?;
    scene.product.await_field("/hosted_network/state", &"idle".into(), JOIN)?;
    stage.say(&format!("{ssid:?} with {key:?} joins"));
    Ok(())
}

fn passphrases_of_every_kind(stage: &mut Stage) -> Result<()> {
    let scene = stage.scene()?;
    let mut station = stage.station()?;
    // 95 characters from space to tilde, in two keys of 63; the blanks stand at both ends.
    let printable: String = (' '..='~').collect();
    let first: String = printable.chars().take(63).collect();
    let second: String = printable.chars().rev().take(62).chain([' ']).collect();
    ensure!(
        printable.chars().all(|character| first.contains(character) || second.contains(character)),
        "a gap"
    );
    for key in [first.as_str(), second.as_str(), r#""\'; $#"#] {
        ensure!(key.len() == 63 || key.len() == 8 || key.len() == 7, "{key:?}");
        let padded = if key.len() == 7 { format!("{key} ") } else { key.to_owned() };
        join_once(stage, &scene, &mut station, "keys", Some(&padded))?;
    }
    Ok(())
}

fn a_raw_key(stage: &mut Stage) -> Result<()> {
    let scene = stage.scene()?;
    let mut raw = [0_u8; 32];
    for (index, byte) in (0_u8..).zip(raw.iter_mut()) {
        *byte = index.wrapping_mul(37).wrapping_add(200);
    }
    scene.product.feed(["key", "set", "--hex"], hex(&raw).as_bytes())?;
    let mut up = scene.up("raw")?;
    let mut station = stage.station()?;
    station.join(&Network { ssid: b"raw".to_vec(), credential: Credential::Raw(raw) }, JOIN)?;
    scene.await_peer(&station, "secondary")?;
    station.leave()?;
    interrupt(&mut up)
}

/// The contract (M048): who is in stays in; who comes needs the new key.
fn a_changed_secondary_key(stage: &mut Stage) -> Result<()> {
    let scene = stage.scene()?;
    scene.product.feed(["key", "set"], b"the old one")?;
    let mut up = scene.up("changing")?;
    let mut old = stage.station()?;
    old.join(&network("changing", "the old one"), JOIN)?;
    scene.await_peer(&old, "secondary")?;
    scene.product.feed(["key", "set"], b"the new one")?;
    let mut new = stage.station()?;
    new.join(&network("changing", "the new one"), JOIN)?;
    scene.await_peer(&new, "secondary")?;
    scene.await_peer(&old, "secondary")?;
    let log = old.log();
    ensure!(!log.contains("CTRL-EVENT-DISCONNECTED"), "the old station was sent away:\n{log}");
    old.leave()?;
    old.refused(&network("changing", "the old one"), JOIN)?;
    new.leave()?;
    interrupt(&mut up)
}

fn await_active(scene: &Scene) -> Result<()> {
    scene.product.await_field("/hosted_network/state", &"active".into(), JOIN)
}
