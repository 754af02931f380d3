//! Which radio, which channel.

use hn_core::{BandWish, ChannelRefusal, RadioPlan, RadioWish, Refusal, radio_plan};
use hn_types::radio::{Adapter, IfType, InterfaceCombination, PhyType, RadioInterface, RadioView};

use crate::world::{adapter, name, network, station, view};

fn plan_with(wish: &RadioWish, change: impl FnOnce(&mut Adapter)) -> Result<RadioPlan, Refusal> {
    let mut adapter = adapter();
    change(&mut adapter);
    radio_plan(&view(vec![adapter]), &network(), wish)
}

fn plan(change: impl FnOnce(&mut Adapter)) -> Result<RadioPlan, Refusal> {
    plan_with(&RadioWish::default(), change)
}

#[test]
fn the_channel_of_the_connected_station_is_followed() {
    for (frequency, channel, phy) in [(2462, 11, PhyType::Ht), (5200, 40, PhyType::Vht)] {
        let plan = plan(|a| a.interfaces = vec![station("wlan0", Some(frequency))]).unwrap();
        assert_eq!((plan.frequency_mhz, plan.channel, plan.phy), (frequency, channel, phy));
    }
}

#[test]
fn a_wish_does_not_move_the_station() {
    let wish = RadioWish { channel: Some(1), ..RadioWish::default() };
    assert_eq!(plan_with(&wish, |_| {}).unwrap().channel, 11);
    assert_eq!(plan_with(&wish, |a| a.combinations[0].channels = 2).unwrap().channel, 1);
}

#[test]
fn a_station_on_a_forbidden_channel_is_a_refusal_that_names_it() {
    for (change, expected) in [
        ((|c| c.no_ir = true) as fn(&mut hn_types::radio::ChannelInfo), ChannelRefusal::NoIr),
        (|c| c.radar = true, ChannelRefusal::RadarUnable),
        (|c| c.disabled = true, ChannelRefusal::Disabled),
    ] {
        let refusal = plan(|a| {
            a.bands[0].channels.iter_mut().filter(|c| c.frequency_mhz == 2462).for_each(change);
        })
        .unwrap_err();
        let Refusal::StationChannel { interface, frequency_mhz, why } = refusal else {
            panic!("{refusal:?}")
        };
        assert_eq!((interface, frequency_mhz, why), (name("wlan0"), 2462, expected));
    }
}

#[test]
fn a_free_card_takes_a_quiet_channel_it_may_use() {
    let free = |a: &mut Adapter| a.interfaces = vec![station("wlan0", None)];
    assert_eq!(plan(free).unwrap().channel, 6);
    assert_eq!(
        plan(|a| {
            free(a);
            a.bands[0].channels.iter_mut().filter(|c| c.frequency_mhz == 2437).for_each(|c| c.no_ir = true);
        })
        .unwrap()
        .channel,
        1
    );
    let five = RadioWish { band: Some(BandWish::Ghz5), ..RadioWish::default() };
    assert_eq!(plan_with(&five, free).unwrap().channel, 36);
    let all_radar = |a: &mut Adapter| {
        free(a);
        a.bands.iter_mut().flat_map(|band| &mut band.channels).for_each(|c| c.radar = true);
    };
    assert!(matches!(plan(all_radar), Err(Refusal::NoChannel { .. })));
    let wish = RadioWish { channel: Some(14), ..RadioWish::default() };
    assert!(matches!(plan_with(&wish, free), Err(Refusal::NoChannel { .. })));
    let slow = RadioWish { phy: Some(PhyType::Erp), ..RadioWish::default() };
    assert_eq!(plan_with(&slow, free).unwrap().phy, PhyType::Erp);
}

#[test]
fn the_combination_table_decides_even_over_an_idle_station() {
    let idle = |a: &mut Adapter| a.interfaces = vec![station("wlan0", None)];
    assert!(plan(idle).is_ok());
    for spoil in [
        (|a| a.combinations.clear()) as fn(&mut Adapter),
        |a| a.combinations[0].max_interfaces = 1,
        |a| a.combinations[0].limits.retain(|limit| limit.types != [IfType::Station]),
        |a| a.combinations[0].limits[0].max = 0,
        |a| a.interfaces = (0..3).map(|n| station(&format!("wlan{n}"), None)).collect(),
    ] {
        let refusal = plan(|a| {
            idle(a);
            spoil(a);
        });
        assert!(matches!(refusal, Err(Refusal::Combination { .. })), "{refusal:?}");
    }
    assert!(
        plan(|a| {
            a.combinations.clear();
            a.interfaces.clear();
        })
        .is_ok(),
        "alone it needs no combination"
    );
}

#[test]
fn one_fitting_row_is_enough() {
    let plan = plan(|a| {
        let bad = InterfaceCombination { max_interfaces: 1, ..a.combinations[0].clone() };
        a.combinations.insert(0, bad);
    });
    assert!(plan.is_ok());
}

#[test]
fn our_own_interface_is_no_occupant() {
    let ours = RadioInterface { iftype: IfType::Ap, ..station("hnap0", Some(2462)) };
    assert!(plan(|a| a.interfaces.push(ours)).is_ok());
    let foreign = RadioInterface { iftype: IfType::Ap, ..station("ap0", Some(2462)) };
    assert!(matches!(plan(|a| a.interfaces.push(foreign)), Err(Refusal::Combination { .. })));
}

#[test]
fn what_cannot_be_is_refused_with_its_cause() {
    assert!(matches!(plan(|a| a.iftypes.retain(|t| *t != IfType::Ap)), Err(Refusal::NoApSupport { .. })));
    assert!(matches!(plan(|a| a.blocked.hard = true), Err(Refusal::RadioOff { hard: true, .. })));
    assert!(matches!(plan(|a| a.blocked.soft = true), Err(Refusal::RadioOff { hard: false, .. })));
    for iftype in [IfType::Adhoc, IfType::Monitor] {
        let blocking = RadioInterface { iftype, ..station("x0", None) };
        assert!(matches!(plan(|a| a.interfaces.push(blocking)), Err(Refusal::Incompatible { .. })));
    }
    assert_eq!(radio_plan(&RadioView::default(), &network(), &RadioWish::default()), Err(Refusal::NoAdapter));
    let wish = RadioWish { adapter: Some("phy7".into()), ..RadioWish::default() };
    assert_eq!(plan_with(&wish, |_| {}), Err(Refusal::NoAdapter));
    let wish = RadioWish { adapter: Some("wlan0".into()), ..RadioWish::default() };
    assert!(plan_with(&wish, |_| {}).is_ok());
}

#[test]
fn a_card_without_a_connection_is_preferred() {
    let mut second = adapter();
    (second.wiphy, second.interfaces) = (1, vec![station("wlan1", None)]);
    let view = view(vec![adapter(), second]);
    let plan = radio_plan(&view, &network(), &RadioWish::default()).unwrap();
    assert_eq!((plan.wiphy, plan.channel), (1, 6));
}
