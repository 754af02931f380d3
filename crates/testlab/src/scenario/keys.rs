//! Names and keys at the edges of what the standard allows.

use anyhow::{Context as _, Result, ensure};
use hn_conformance::checks;

use super::serve::interrupt;
use super::{JOIN, SETTLE, Scenario, Scene, Stage, UPLINK, network};
use crate::product::Product;
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
    Scenario {
        name: "a_refreshed_primary_key_locks_old_devices_out_and_spares_the_secondary",
        hardware: Hardware::radios(3),
        run: a_refreshed_primary_key,
    },
    Scenario {
        name: "a_key_for_one_session_is_gone_after_it_and_a_persistent_one_is_not",
        hardware: Hardware::radios(2),
        run: keys_for_one_session,
    },
    Scenario {
        name: "keys_survive_a_restart_of_service_and_machine",
        hardware: Hardware::radios(3),
        run: keys_survive,
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

/// Who is in stays in; who comes needs the new key, now and after a restart of the network.
fn a_changed_secondary_key(stage: &mut Stage) -> Result<()> {
    let scene = stage.scene()?;
    scene.product.feed(["key", "set"], b"the old one")?;
    let mut up = scene.up("changing")?;
    let (mut old, mut new) = (stage.station()?, stage.station()?);
    checks!(M046:
        old.join(&network("changing", "the old one"), JOIN)?;
        scene.await_peer(&old, "secondary")?;
    );
    checks!(M047:
        scene.product.feed(["key", "set"], b"the new one")?;
        new.join(&network("changing", "the new one"), JOIN)?;
        scene.await_peer(&new, "secondary")?;
    );
    checks!(M048:
        scene.await_peer(&old, "secondary")?;
        let log = old.log();
        ensure!(!log.contains("CTRL-EVENT-DISCONNECTED"), "the old station was sent away:\n{log}");
        old.leave()?;
        old.refused(&network("changing", "the old one"), JOIN)?;
        new.leave()?;
        interrupt(&mut up)?;
        up = scene.up("changing")?;
        old.refused(&network("changing", "the old one"), JOIN)?;
        new.join(&network("changing", "the new one"), JOIN)?;
        scene.await_peer(&new, "secondary")?;
    );
    interrupt(&mut up)
}

/// The network stops, the old primary key is worth nothing, and the secondary key is as it was. Whoever refreshed the
/// key has ended long ago.
fn a_refreshed_primary_key(stage: &mut Stage) -> Result<()> {
    let scene = stage.scene()?;
    scene.product.run(["settings", "set", "--ssid", "renewed"])?;
    scene.product.feed(["key", "set"], b"the second key")?;
    let old = scene.primary_key()?;
    begin(&scene)?;
    let (mut first, mut second) = (stage.station()?, stage.station()?);
    first.join(&network("renewed", &old), JOIN)?;
    scene.await_peer(&first, "primary")?;
    stage.say("a device has joined with the old key");
    checks!(M031:
        scene.product.run(["key", "refresh"])?;
        scene.product.await_field("/hosted_network/state", &"idle".into(), SETTLE)?;
    );
    let new = scene.primary_key()?;
    ensure!(new != old, "the key is the old one");
    begin(&scene)?;
    checks!(M032:
        super::device::refused_once(&first, &scene, "renewed", &old)?;
        first.refused(&network("renewed", &old), JOIN)?;
        first.join(&network("renewed", &new), JOIN)?;
        scene.await_peer(&first, "primary")?;
    );
    stage.say("the old key is refused and the new one lets in");
    checks!(M033:
        second.join(&network("renewed", "the second key"), JOIN)?;
        scene.await_peer(&second, "secondary")?;
    );
    // The calls that refreshed and started have ended; another one finds the same key, and so does a device.
    checks!(M034:
        ensure!(scene.primary_key()? == new, "the refreshed key is gone");
        scene.await_peer(&first, "primary")?;
    );
    end(&scene)
}

/// `start`: the network runs for good, whoever asked for it has gone.
fn begin(scene: &Scene) -> Result<()> {
    scene.product.run(["start"])?;
    await_active(scene)
}

fn end(scene: &Scene) -> Result<()> {
    scene.product.run(["stop"])?;
    scene.product.await_field("/hosted_network/state", &"idle".into(), SETTLE)
}

fn secondary(scene: &Scene) -> Result<serde_json::Value> {
    let keys = scene.product.json(&["key", "show"])?;
    Ok(keys.pointer("/secondary/key").cloned().unwrap_or_default())
}

fn keys_for_one_session(stage: &mut Stage) -> Result<()> {
    const SSID: &str = "sessions";
    let scene = stage.scene()?;
    scene.product.run(["settings", "set", "--ssid", SSID])?;
    let mut station = stage.station()?;
    checks!(M049:
        scene.product.feed(["key", "set"], b"persistent")?;
        for session in ["first", "second"] {
            begin(&scene)?;
            station.join(&network(SSID, "persistent"), JOIN).with_context(|| format!("the {session} session"))?;
            scene.await_peer(&station, "secondary")?;
            station.leave()?;
            end(&scene)?;
        }
        begin(&scene)?;
        scene.product.feed(["key", "set"], b"set while active")?;
        station.join(&network(SSID, "set while active"), JOIN)?;
        scene.await_peer(&station, "secondary")?;
        station.leave()?;
        end(&scene)?;
        begin(&scene)?;
        station.join(&network(SSID, "set while active"), JOIN)?;
        scene.await_peer(&station, "secondary")?;
    );
    stage.say("a persistent key is good for every session");
    checks!(M050:
        // While the network runs: for the current session.
        scene.product.feed(["key", "set", "--temporary"], b"this session only")?;
        station.join(&network(SSID, "this session only"), JOIN)?;
        scene.await_peer(&station, "secondary")?;
        station.leave()?;
        end(&scene)?;
        // What it stood in front of is in force again.
        ensure!(secondary(&scene)? == "set while active", "the key is {}", secondary(&scene)?);
        begin(&scene)?;
        station.refused(&network(SSID, "this session only"), JOIN)?;
        end(&scene)?;
        // While it does not run: for the next session.
        scene.product.feed(["key", "set", "--temporary"], b"next session only")?;
        begin(&scene)?;
        station.join(&network(SSID, "next session only"), JOIN)?;
        scene.await_peer(&station, "secondary")?;
        station.leave()?;
        end(&scene)?;
        ensure!(secondary(&scene)? == "set while active", "the key is {}", secondary(&scene)?);
        begin(&scene)?;
        station.refused(&network(SSID, "next session only"), JOIN)?;
        end(&scene)?;
    );
    stage.say("a key for one session is good for one session");
    // Removed while the network runs: nobody comes in with it any more.
    scene.product.feed(["key", "set"], b"to be removed")?;
    begin(&scene)?;
    station.join(&network(SSID, "to be removed"), JOIN)?;
    scene.await_peer(&station, "secondary")?;
    scene.product.run(["key", "clear"])?;
    ensure!(secondary(&scene)?.is_null(), "it is still there: {}", secondary(&scene)?);
    scene.await_peer(&station, "secondary").context("who is in stays in")?;
    station.leave()?;
    station.refused(&network(SSID, "to be removed"), JOIN)?;
    end(&scene)
}

/// The first boot sets the keys and is cut off with the network running; the second finds them, and so do devices.
fn keys_survive(stage: &mut Stage) -> Result<()> {
    const SSID: &str = "for good";
    let radio = stage.radio()?;
    stage.machine.ip(&format!("link set {} up", radio.interface))?;
    let mut product = Product::install_in(&stage.machine, &stage.kept()?)?;
    product.start(&stage.machine)?;
    let kept = stage.kept()?.join("primary");
    let keys = |product: &Product| -> Result<(String, serde_json::Value)> {
        let secondary = product.json(&["key", "show"])?.pointer("/secondary/key").cloned();
        Ok((super::primary_key(product)?, secondary.unwrap_or_default()))
    };
    if stage.boot == 1 {
        product.run(["settings", "set", "--ssid", SSID])?;
        product.feed(["key", "set"], b"the second key")?;
        let before = super::primary_key(&product)?;
        product.run(["key", "refresh"])?;
        let refreshed = super::primary_key(&product)?;
        ensure!(refreshed != before, "the key is the old one");
        product.terminate()?;
        product.start(&stage.machine)?;
        ensure!(keys(&product)? == (refreshed.clone(), "the second key".into()), "the service lost its keys");
        std::fs::write(kept, &refreshed)?;
        product.run(["start"])?;
        product.await_field("/hosted_network/state", &"active".into(), JOIN)?;
        stage.say("the power fails");
        return stage.reboot();
    }
    let refreshed = std::fs::read_to_string(kept)?;
    checks!(M030:
        ensure!(keys(&product)? == (refreshed.clone(), "the second key".into()), "the machine lost its keys");
        product.run(["start"])?;
        product.await_field("/hosted_network/state", &"active".into(), JOIN)?;
        let (mut first, mut second) = (stage.station()?, stage.station()?);
        first.join(&network(SSID, &refreshed), JOIN)?;
        super::await_peer(&product, &first, "primary")?;
        second.join(&network(SSID, "the second key"), JOIN)?;
        super::await_peer(&product, &second, "secondary")?;
    );
    product.run(["stop"])?;
    product.terminate()
}

fn await_active(scene: &Scene) -> Result<()> {
    scene.product.await_field("/hosted_network/state", &"active".into(), JOIN)
}
