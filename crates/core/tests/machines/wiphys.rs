//! What the planner promises, over radios that people really met (`wiphys.txt`).

use hn_core::{BandWish, ChannelRefusal, Lack, RadioPlan, RadioWish, Refusal, radio_plan};
use hn_types::{
    MacAddr, Reason,
    radio::{
        Adapter, Authenticator, Band, ChannelInfo, Country, IfType, InterfaceCombination, InterfaceLimit,
        PhyType, RadioInterface, RadioView, Regulatory, Width, channel_of, secondary_above,
    },
};
use proptest::{option, prelude::*, sample::select};

use crate::world::{network, station};

const WIPHYS: &str = include_str!("wiphys.txt");

fn iftype(word: &str) -> IfType {
    match word {
        "station" => IfType::Station,
        "ap" => IfType::Ap,
        "adhoc" => IfType::Adhoc,
        "mesh" => IfType::MeshPoint,
        "monitor" => IfType::Monitor,
        "p2p-client" => IfType::P2pClient,
        "p2p-go" => IfType::P2pGo,
        "p2p-device" => IfType::P2pDevice,
        other => panic!("no type of interface: {other}"),
    }
}

fn combination(text: &str) -> InterfaceCombination {
    let parts: Vec<&str> = text.split('|').map(str::trim).collect();
    let [limits, total, channels, widths] = parts.as_slice() else { panic!("a combination: {text}") };
    let limit = |word: &str| {
        let (types, max) = word.split_once(':').unwrap();
        InterfaceLimit { max: max.parse().unwrap(), types: types.split(',').map(iftype).collect() }
    };
    let bit = |width: &str| match width {
        "20" => 1 << 1,
        "40" => 1 << 2,
        "80" => 1 << 3,
        other => panic!("no width: {other}"),
    };
    InterfaceCombination {
        limits: limits.split_whitespace().map(limit).collect(),
        max_interfaces: total.parse().unwrap(),
        channels: channels.parse().unwrap(),
        radar_widths: widths.split_whitespace().map(bit).sum(),
        same_beacon_interval: false,
    }
}

fn channels(text: &str) -> Vec<ChannelInfo> {
    let mut words = text.split_whitespace();
    let range = words.next().unwrap();
    let flags: Vec<&str> = words.collect();
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (first, last): (u32, u32) = (first.parse().unwrap(), last.parse().unwrap());
    let step = if first > 14 { 4 } else { 1 };
    let frequency = |number: u32| match number {
        14 => 2484,
        1..=13 => 2407 + 5 * number,
        _ => 5000 + 5 * number,
    };
    (first..=last)
        .step_by(step)
        .map(|number| ChannelInfo {
            disabled: flags.contains(&"disabled"),
            no_ir: flags.contains(&"no-ir"),
            radar: flags.contains(&"radar"),
            ..ChannelInfo::free(frequency(number))
        })
        .collect()
}

/// Every radio of the file.
fn radios() -> Vec<Adapter> {
    let mut all: Vec<Adapter> = Vec::new();
    for line in WIPHYS.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        if word == "radio" {
            all.push(Adapter {
                name: rest.into(),
                address: MacAddr([0, 1, 2, 3, 4, 5]),
                ..Adapter::default()
            });
            continue;
        }
        let adapter = all.last_mut().unwrap();
        match word {
            "driver" => adapter.driver = rest.into(),
            "regulatory" => {
                let country = rest.as_bytes();
                let country = Country([country[0], country[1]]);
                adapter.regulatory = Regulatory { country, self_managed: rest.ends_with("self-managed") };
            }
            "types" => adapter.iftypes = rest.split_whitespace().map(iftype).collect(),
            "combination" => adapter.combinations.push(combination(rest)),
            "protection" => {
                adapter.protection.management_frames = rest.contains("management-frames");
                adapter.protection.own_sme = rest.contains("own-sme");
            }
            "switch" => adapter.channel_switch = true,
            "band" => {
                let mut band = Band::default();
                for (name, value) in rest.split_whitespace().map(|word| word.split_once('=').unwrap()) {
                    let value = u32::from_str_radix(value, 16).unwrap();
                    match name {
                        "ht" => (band.ht, band.ht_capabilities) = (true, u16::try_from(value).unwrap()),
                        "vht" => (band.vht, band.vht_capabilities) = (true, value),
                        "he" => (band.he, band.he_widths) = (true, u8::try_from(value).unwrap()),
                        other => panic!("a band has no {other}"),
                    }
                }
                adapter.bands.push(band);
            }
            "channels" => adapter.bands.last_mut().unwrap().channels.extend(channels(rest)),
            other => panic!("what is {other}?"),
        }
    }
    all
}

fn radio(name: &str) -> Adapter {
    radios().into_iter().find(|radio| radio.name == name).unwrap_or_else(|| panic!("no radio {name}"))
}

const MODERN: Authenticator = Authenticator { sae: true, many_passwords: false, he: true };

fn view(adapter: Adapter) -> RadioView {
    RadioView { adapters: vec![adapter], authenticator: MODERN }
}

fn plan(adapter: Adapter, wish: &RadioWish) -> Result<RadioPlan, Refusal> {
    radio_plan(&view(adapter), &network(), wish)
}

fn five() -> RadioWish {
    RadioWish { band: Some(BandWish::Ghz5), ..RadioWish::default() }
}

fn connected(mut adapter: Adapter, frequency_mhz: u32) -> Adapter {
    adapter.interfaces = vec![station("wlan0", Some(frequency_mhz))];
    adapter
}

#[test]
fn every_radio_of_the_file_is_read_whole() {
    let radios = radios();
    assert!(radios.len() >= 10);
    for radio in &radios {
        assert!(!radio.driver.is_empty() && radio.iftypes.contains(&IfType::Ap), "{}", radio.name);
        assert!(radio.bands.iter().all(|band| !band.channels.is_empty()), "{}", radio.name);
        let known = |channel: &ChannelInfo| channel_of(channel.frequency_mhz).is_some();
        assert!(radio.bands.iter().flat_map(|band| &band.channels).all(known), "{}", radio.name);
    }
}

#[test]
fn width_and_generation_are_what_the_radio_can_do() {
    for (name, wish, expected) in [
        ("intel-ax200-germany", five(), (36, PhyType::He, Width::Mhz80, 5210)),
        ("raspberry-pi", five(), (36, PhyType::Vht, Width::Mhz80, 5210)),
        ("mt7610u", RadioWish { channel: Some(149), ..five() }, (149, PhyType::Vht, Width::Mhz80, 5775)),
        ("mt7610u", RadioWish { channel: Some(165), ..five() }, (165, PhyType::Vht, Width::Mhz20, 5825)),
        (
            "mt7610u",
            RadioWish { width: Some(Width::Mhz40), ..five() },
            (36, PhyType::Vht, Width::Mhz40, 5190),
        ),
        ("ath9k-archer", RadioWish::default(), (6, PhyType::Ht, Width::Mhz20, 2437)),
        (
            "ath9k-archer",
            RadioWish { width: Some(Width::Mhz40), channel: Some(1), ..RadioWish::default() },
            (1, PhyType::Ht, Width::Mhz40, 2422),
        ),
    ] {
        let plan = plan(radio(name), &wish).unwrap();
        assert_eq!((plan.channel, plan.phy, plan.width, plan.centre_mhz), expected, "{name}");
        assert_eq!(plan.detail, "", "{name}");
    }
}

#[test]
fn an_old_hostapd_is_not_told_of_what_it_does_not_know() {
    let mut view = view(radio("intel-ax200-germany"));
    view.authenticator = Authenticator::default();
    let plan = radio_plan(&view, &network(), &five()).unwrap();
    assert_eq!((plan.phy, plan.width, plan.lack), (PhyType::Vht, Width::Mhz80, Some(Lack::Authenticator)));
}

/// Peers §3, no. 12.
#[test]
fn failure_12_a_band_that_is_closed_says_why_channel_by_channel_and_falls_back() {
    let plan_of = |name: &str, wish: &RadioWish| plan(radio(name), wish);
    let fallen = plan_of("realtek-world", &five()).unwrap();
    assert_eq!(fallen.channel, 6);
    for part in ["5 GHz was wished for", "36-64, 100-165 no-IR in the world domain 00"] {
        assert!(fallen.detail.contains(part), "{}", fallen.detail);
    }
    let strict = RadioWish { strict: true, ..five() };
    let refusal = plan_of("realtek-world", &strict).unwrap_err();
    assert!(refusal.cause().contains("36-64, 100-165 no-IR in the world domain 00"), "{}", refusal.cause());
    assert!(refusal.remedy().contains("iw reg set"), "{}", refusal.remedy());
    // Telling the machine its country does not help an adapter that decides by itself: that is not the remedy.
    let refusal = plan_of("intel-ax210-world", &strict).unwrap_err();
    let Refusal::NoChannel { survey, .. } = &refusal else { panic!("{refusal:?}") };
    assert_eq!(survey.telling(), Some(ChannelRefusal::SelfManaged));
    assert!(!refusal.remedy().contains("iw reg set"), "{}", refusal.remedy());
}

#[test]
fn channels_with_radar_are_the_last_resort_and_only_on_wish() {
    let radar = RadioWish { radar: true, ..five() };
    let plan_of = |name: &str, wish: &RadioWish| plan(radio(name), wish);
    assert_eq!(plan_of("mt76-mt7996", &radar).unwrap().channel, 36, "free channels come first");
    let refusal = plan_of("mt76-indoors", &RadioWish { strict: true, ..five() }).unwrap_err();
    assert!(refusal.remedy().contains("hosted_network.radar"), "{}", refusal.remedy());
    let listening = plan_of("mt76-indoors", &radar).unwrap();
    assert_eq!((listening.channel, listening.cac_s, listening.width), (36, 60, Width::Mhz40));
    assert_eq!(listening.country, Some(Country(*b"GB")));
    // By its number it is meant.
    let by_number = plan_of("mt76-mt7996", &RadioWish { channel: Some(100), ..five() }).unwrap();
    assert_eq!((by_number.channel, by_number.cac_s, by_number.width), (100, 60, Width::Mhz80));
    // Nobody listens beside a connection, nor without the means.
    let mut busy = radio("mt76-indoors");
    busy.combinations.iter_mut().for_each(|row| row.channels = 2);
    let refusal = plan(connected(busy, 5180), &RadioWish { channel: Some(100), ..five() }).unwrap_err();
    assert!(refusal.cause().contains("radar"), "{}", refusal.cause());
    let refusal = plan_of("raspberry-pi", &RadioWish { channel: Some(52), ..five() }).unwrap_err();
    assert!(matches!(refusal, Refusal::NoChannel { .. }), "{refusal:?}");
    let mut heard = radio("mt76-mt7996");
    for channel in
        heard.bands.iter_mut().flat_map(|band| &mut band.channels).filter(|c| c.frequency_mhz == 5520)
    {
        channel.dfs = hn_types::radio::Dfs::Unavailable;
    }
    let beside = plan(heard, &RadioWish { channel: Some(108), ..five() }).unwrap();
    assert_eq!((beside.channel, beside.width), (108, Width::Mhz40), "the block without the radar");
}

/// Peers §3, no. 5.
#[test]
fn failure_5_a_limit_of_the_combination_table_is_named() {
    let busy = connected(radio("realtek-without-combinations"), 2437);
    let refusal = plan(busy, &RadioWish::default()).unwrap_err();
    assert!(refusal.cause().contains("lists no combination"), "{}", refusal.cause());
    let mut crowded = connected(radio("mt7610u"), 2437);
    crowded.interfaces.push(station("wlan1", None));
    let refusal = plan(crowded, &RadioWish::default()).unwrap_err();
    assert!(refusal.cause().contains("2 interfaces at most"), "{}", refusal.cause());
    let mut taken = connected(radio("raspberry-pi"), 2437);
    taken.interfaces.push(RadioInterface { iftype: IfType::Ap, ..station("ap0", Some(2437)) });
    let refusal = plan(taken, &RadioWish::default()).unwrap_err();
    assert!(refusal.cause().contains("1 of type access point at most"), "{}", refusal.cause());
}

/// Peers §3, no. 5: the row with two channels has no access point in it, so it does not count.
#[test]
fn failure_5_an_access_point_beside_a_station_shares_its_channel_and_says_so() {
    for name in ["raspberry-pi", "intel-ax210-world"] {
        let wish = RadioWish { channel: Some(1), ..RadioWish::default() };
        let plan = plan(connected(radio(name), 2462), &wish).unwrap();
        assert_eq!(
            (plan.channel, plan.beside.map(|it| it.to_string())),
            (11, Some("wlan0".into())),
            "{name}"
        );
        assert!(plan.detail.contains("wlan0"), "{}", plan.detail);
    }
}

fn wishes() -> impl Strategy<Value = RadioWish> {
    (
        option::of(select(&[BandWish::Ghz2, BandWish::Ghz5][..])),
        option::of(select(&[1_u32, 6, 11, 13, 14, 36, 44, 52, 100, 120, 144, 149, 165, 200][..])),
        option::of(select(&[PhyType::Ofdm, PhyType::Erp, PhyType::Ht, PhyType::Vht, PhyType::He][..])),
        option::of(select(&[Width::Mhz20, Width::Mhz40, Width::Mhz80][..])),
        any::<(bool, bool)>(),
    )
        .prop_map(|(band, channel, phy, width, (radar, strict))| RadioWish {
            band,
            channel,
            phy,
            width,
            radar,
            strict,
            ..RadioWish::default()
        })
}

/// A radio of the file with a few interfaces on it and rules that may have changed since.
fn machines() -> impl Strategy<Value = Adapter> {
    let occupants = proptest::collection::vec(
        (
            select(&[IfType::Station, IfType::Station, IfType::Ap, IfType::P2pDevice, IfType::ApVlan][..]),
            option::of(0..60_usize),
        ),
        0..3,
    );
    let changes = proptest::collection::vec((0..60_usize, 0..6_u8), 0..12);
    (select(radios()), occupants, changes, option::of(1..3_u32)).prop_map(
        |(mut adapter, occupants, changes, channels)| {
            let mut all: Vec<&mut ChannelInfo> =
                adapter.bands.iter_mut().flat_map(|band| &mut band.channels).collect();
            let frequencies: Vec<u32> = all.iter().map(|channel| channel.frequency_mhz).collect();
            let count = frequencies.len();
            for (which, change) in changes {
                let channel = &mut all[which % count];
                match change {
                    0 => channel.disabled = true,
                    1 => channel.no_ir = true,
                    2 => channel.radar = true,
                    3 => channel.narrow.wide = true,
                    4 => channel.narrow.above = true,
                    _ => channel.dfs = hn_types::radio::Dfs::Unavailable,
                }
            }
            if let Some(channels) = channels {
                adapter.combinations.iter_mut().for_each(|row| row.channels = channels);
            }
            for (n, (iftype, on)) in occupants.into_iter().enumerate() {
                let frequency = on.map(|which| frequencies[which % count]);
                let name = format!("x{n}");
                adapter.interfaces.push(RadioInterface { iftype, ..station(&name, frequency) });
            }
            adapter
        },
    )
}

/// The rule of nl80211 once more, by trying every way of putting interfaces to limits.
fn covered(row: &InterfaceCombination, types: &[IfType]) -> bool {
    fn place(limits: &mut [(u32, Vec<IfType>)], types: &[IfType]) -> bool {
        let Some((first, rest)) = types.split_first() else { return true };
        for which in 0..limits.len() {
            if limits[which].0 > 0 && limits[which].1.contains(first) {
                limits[which].0 -= 1;
                let fits = place(limits, rest);
                limits[which].0 += 1;
                if fits {
                    return true;
                }
            }
        }
        false
    }
    let mut limits: Vec<_> = row.limits.iter().map(|limit| (limit.max, limit.types.clone())).collect();
    types.len() <= row.max_interfaces as usize && place(&mut limits, types)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_plan_obeys_table_rules_and_station_and_a_refusal_helps(adapter in machines(), wish in wishes()) {
        match plan(adapter.clone(), &wish) {
            Ok(plan) => lawful(&adapter, &wish, &plan)?,
            Err(refusal) => {
                prop_assert!(!refusal.cause().is_empty() && !refusal.remedy().is_empty());
                prop_assert!(!refusal.object().is_empty());
                prop_assert_ne!(refusal.reason(), Reason::Unspecified);
                if let Refusal::NoChannel { survey, .. } = &refusal {
                    // Whatever was looked at was refused for a reason that holds.
                    for (frequency, why) in &survey.0 {
                        let info = adapter.bands.iter().flat_map(|b| &b.channels)
                            .find(|c| c.frequency_mhz == *frequency).unwrap();
                        match why {
                            ChannelRefusal::Disabled => prop_assert!(info.disabled),
                            ChannelRefusal::NoIr | ChannelRefusal::World | ChannelRefusal::SelfManaged => {
                                prop_assert!(info.no_ir);
                            }
                            ChannelRefusal::Radar | ChannelRefusal::RadarUnable | ChannelRefusal::RadarBusy
                            | ChannelRefusal::RadarHeard => prop_assert!(info.radar),
                            ChannelRefusal::Combination => prop_assert!(!adapter.interfaces.is_empty()),
                        }
                    }
                }
            }
        }
    }
}

fn lawful(adapter: &Adapter, wish: &RadioWish, plan: &RadioPlan) -> Result<(), TestCaseError> {
    let find = |mhz: u32| adapter.bands.iter().flat_map(|b| &b.channels).find(|c| c.frequency_mhz == mhz);
    let others: Vec<&RadioInterface> =
        adapter.interfaces.iter().filter(|it| it.iftype != IfType::ApVlan).collect();
    let mut used: Vec<u32> = others
        .iter()
        .filter(|it| it.connected || it.iftype != IfType::Station)
        .filter_map(|it| it.frequency_mhz)
        .collect();
    used.push(plan.frequency_mhz);
    used.sort_unstable();
    used.dedup();
    let low = plan.centre_mhz - plan.width.mhz() / 2 + 10;
    let parts: Vec<u32> = (0..plan.width.mhz() / 20).map(|n| low + 20 * n).collect();
    prop_assert!(parts.contains(&plan.frequency_mhz), "the primary channel lies in its block");
    let radar = find(plan.frequency_mhz).unwrap().radar;
    for part in &parts {
        let info = find(*part);
        prop_assert!(
            info.is_some_and(|it| !it.disabled && !it.no_ir && it.radar == radar),
            "{part}: {info:?}"
        );
    }
    prop_assert_eq!(
        secondary_above(plan.frequency_mhz, plan.centre_mhz, plan.width).is_some(),
        plan.width != Width::Mhz20
    );
    if plan.width == Width::Mhz80 {
        prop_assert!([5210, 5290, 5530, 5610, 5690, 5775].contains(&plan.centre_mhz));
    }
    if plan.width == Width::Mhz40 && plan.frequency_mhz > 5000 {
        let base = if plan.frequency_mhz > 5735 { 5755 } else { 5190 };
        let base = if (5490..5735).contains(&plan.frequency_mhz) { 5510 } else { base };
        prop_assert_eq!((plan.centre_mhz - base) % 40, 0);
    }
    let mut types: Vec<IfType> = others.iter().map(|it| it.iftype).collect();
    types.push(IfType::Ap);
    let width = plan.width;
    let row = |row: &InterfaceCombination| {
        covered(row, &types) && row.channels as usize >= used.len() && (!radar || row.detects_radar(width))
    };
    prop_assert!((others.is_empty() && !radar) || adapter.combinations.iter().any(row), "outside the table");
    if radar {
        prop_assert!(plan.cac_s > 0 && plan.country.is_some() && (wish.radar || wish.channel.is_some()));
        prop_assert_eq!(used.len(), 1);
    } else {
        prop_assert!(plan.cac_s == 0 && plan.country.is_none());
    }
    prop_assert!(wish.width.is_none_or(|most| plan.width <= most));
    let kept = wish.channel.is_none_or(|channel| channel == plan.channel);
    prop_assert!(kept || !plan.detail.is_empty(), "another channel than the wished-for one says why");
    if let Some(beside) = plan.beside {
        prop_assert!(
            others.iter().any(|it| it.name == beside && it.frequency_mhz == Some(plan.frequency_mhz))
        );
    }
    Ok(())
}
