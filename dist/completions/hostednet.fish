# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_hostednet_global_optspecs
    string join \n socket= h/help V/version
end

function __fish_hostednet_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_hostednet_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_hostednet_using_subcommand
    set -l cmd (__fish_hostednet_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c hostednet -n "__fish_hostednet_needs_command" -l socket -d 'The service\'s socket [default: $HOSTEDNET_SOCKET or /run/hostednet/bus]' -r -F
complete -c hostednet -n "__fish_hostednet_needs_command" -s h -l help -d 'Print help'
complete -c hostednet -n "__fish_hostednet_needs_command" -s V -l version -d 'Print version'
complete -c hostednet -n "__fish_hostednet_needs_command" -f -a "up" -d 'Start the hosted network with full sharing; undo it with Ctrl-C'
complete -c hostednet -n "__fish_hostednet_needs_command" -f -a "hold" -d 'Hold a reference: the network runs for as long as COMMAND, or this process, does'
complete -c hostednet -n "__fish_hostednet_needs_command" -f -a "start" -d 'Start the hosted network for good (ForceStart)'
complete -c hostednet -n "__fish_hostednet_needs_command" -f -a "stop" -d 'Stop the hosted network whoever uses it (ForceStop)'
complete -c hostednet -n "__fish_hostednet_needs_command" -f -a "status" -d 'Show everything'
complete -c hostednet -n "__fish_hostednet_needs_command" -f -a "devices" -d 'Show who is attached'
complete -c hostednet -n "__fish_hostednet_needs_command" -f -a "doctor" -d 'Say why a device is not online, and what to do; status 0: nothing is wrong, 1: something is'
complete -c hostednet -n "__fish_hostednet_needs_command" -f -a "monitor" -d 'Show what happens, as it happens'
complete -c hostednet -n "__fish_hostednet_needs_command" -f -a "connections" -d 'Show every connection and whether it can be shared'
complete -c hostednet -n "__fish_hostednet_needs_command" -f -a "settings" -d 'Show or change the settings'
complete -c hostednet -n "__fish_hostednet_needs_command" -f -a "allow" -d 'Allow the hosted network'
complete -c hostednet -n "__fish_hostednet_needs_command" -f -a "disallow" -d 'Forbid the hosted network; a running one stops'
complete -c hostednet -n "__fish_hostednet_needs_command" -f -a "key" -d 'Show, make or set keys; a key is typed or piped in, never an argument'
complete -c hostednet -n "__fish_hostednet_needs_command" -f -a "share" -d 'Share the connection PUBLIC with the connections PRIVATE'
complete -c hostednet -n "__fish_hostednet_needs_command" -f -a "unshare" -d 'Stop sharing'
complete -c hostednet -n "__fish_hostednet_needs_command" -f -a "forward" -d 'Lead ports of the public connection to devices'
complete -c hostednet -n "__fish_hostednet_needs_command" -f -a "device" -d 'Name, block, limit and count single devices'
complete -c hostednet -n "__fish_hostednet_needs_command" -f -a "join" -d 'On a device: join a network and find the way back whenever the connection is lost; Ctrl-C undoes it'
complete -c hostednet -n "__fish_hostednet_needs_command" -f -a "service" -d 'Show, start, stop or configure a part of the service'
complete -c hostednet -n "__fish_hostednet_needs_command" -f -a "netsh" -d 'The commands and the output of Windows\' netsh, for scripts that know them'
complete -c hostednet -n "__fish_hostednet_needs_command" -f -a "net" -d 'The same for net: `net start|stop sharedaccess`'
complete -c hostednet -n "__fish_hostednet_needs_command" -f -a "sc" -d 'The same for sc: `sc query|start|stop sharedaccess`'
complete -c hostednet -n "__fish_hostednet_needs_command" -f -a "completions" -d 'Print the completions of a shell'
complete -c hostednet -n "__fish_hostednet_needs_command" -f -a "man" -d 'Print the man page'
complete -c hostednet -n "__fish_hostednet_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hostednet -n "__fish_hostednet_using_subcommand up" -l public -d 'The connection that leads out: an interface, auto for the default route, none for no sharing' -r
complete -c hostednet -n "__fish_hostednet_using_subcommand up" -l private -d 'Share with this interface instead of (or, with hosted-network named too, beside) the access point' -r
complete -c hostednet -n "__fish_hostednet_using_subcommand up" -l ssid -d 'The name of the network, kept for next time; hex:… for bytes' -r
complete -c hostednet -n "__fish_hostednet_using_subcommand up" -l key-file -d 'Read a key for this session from a file, or from standard input (-)' -r -F
complete -c hostednet -n "__fish_hostednet_using_subcommand up" -l socket -d 'The service\'s socket [default: $HOSTEDNET_SOCKET or /run/hostednet/bus]' -r -F
complete -c hostednet -n "__fish_hostednet_using_subcommand up" -l json -d 'Print JSON for programs'
complete -c hostednet -n "__fish_hostednet_using_subcommand up" -s h -l help -d 'Print help'
complete -c hostednet -n "__fish_hostednet_using_subcommand hold" -l socket -d 'The service\'s socket [default: $HOSTEDNET_SOCKET or /run/hostednet/bus]' -r -F
complete -c hostednet -n "__fish_hostednet_using_subcommand hold" -s h -l help -d 'Print help'
complete -c hostednet -n "__fish_hostednet_using_subcommand start" -l socket -d 'The service\'s socket [default: $HOSTEDNET_SOCKET or /run/hostednet/bus]' -r -F
complete -c hostednet -n "__fish_hostednet_using_subcommand start" -s h -l help -d 'Print help'
complete -c hostednet -n "__fish_hostednet_using_subcommand stop" -l socket -d 'The service\'s socket [default: $HOSTEDNET_SOCKET or /run/hostednet/bus]' -r -F
complete -c hostednet -n "__fish_hostednet_using_subcommand stop" -s h -l help -d 'Print help'
complete -c hostednet -n "__fish_hostednet_using_subcommand status" -l socket -d 'The service\'s socket [default: $HOSTEDNET_SOCKET or /run/hostednet/bus]' -r -F
complete -c hostednet -n "__fish_hostednet_using_subcommand status" -l json -d 'Print JSON for programs'
complete -c hostednet -n "__fish_hostednet_using_subcommand status" -s h -l help -d 'Print help'
complete -c hostednet -n "__fish_hostednet_using_subcommand devices" -l socket -d 'The service\'s socket [default: $HOSTEDNET_SOCKET or /run/hostednet/bus]' -r -F
complete -c hostednet -n "__fish_hostednet_using_subcommand devices" -l json -d 'Print JSON for programs'
complete -c hostednet -n "__fish_hostednet_using_subcommand devices" -s h -l help -d 'Print help'
complete -c hostednet -n "__fish_hostednet_using_subcommand doctor" -l socket -d 'The service\'s socket [default: $HOSTEDNET_SOCKET or /run/hostednet/bus]' -r -F
complete -c hostednet -n "__fish_hostednet_using_subcommand doctor" -l json -d 'Print JSON for programs'
complete -c hostednet -n "__fish_hostednet_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c hostednet -n "__fish_hostednet_using_subcommand monitor" -l socket -d 'The service\'s socket [default: $HOSTEDNET_SOCKET or /run/hostednet/bus]' -r -F
complete -c hostednet -n "__fish_hostednet_using_subcommand monitor" -l json -d 'Print JSON for programs'
complete -c hostednet -n "__fish_hostednet_using_subcommand monitor" -s h -l help -d 'Print help'
complete -c hostednet -n "__fish_hostednet_using_subcommand connections" -l socket -d 'The service\'s socket [default: $HOSTEDNET_SOCKET or /run/hostednet/bus]' -r -F
complete -c hostednet -n "__fish_hostednet_using_subcommand connections" -l json -d 'Print JSON for programs'
complete -c hostednet -n "__fish_hostednet_using_subcommand connections" -s h -l help -d 'Print help'
complete -c hostednet -n "__fish_hostednet_using_subcommand settings; and not __fish_seen_subcommand_from set access help" -l socket -d 'The service\'s socket [default: $HOSTEDNET_SOCKET or /run/hostednet/bus]' -r -F
complete -c hostednet -n "__fish_hostednet_using_subcommand settings; and not __fish_seen_subcommand_from set access help" -l json -d 'Print JSON for programs'
complete -c hostednet -n "__fish_hostednet_using_subcommand settings; and not __fish_seen_subcommand_from set access help" -s h -l help -d 'Print help'
complete -c hostednet -n "__fish_hostednet_using_subcommand settings; and not __fish_seen_subcommand_from set access help" -f -a "set" -d 'Change settings; a running network stops'
complete -c hostednet -n "__fish_hostednet_using_subcommand settings; and not __fish_seen_subcommand_from set access help" -f -a "access" -d 'Show or change who may start, stop, allow and forbid the network: its access list, in SDDL'
complete -c hostednet -n "__fish_hostednet_using_subcommand settings; and not __fish_seen_subcommand_from set access help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hostednet -n "__fish_hostednet_using_subcommand settings; and __fish_seen_subcommand_from set" -l ssid -d 'The name of the network; hex:… for bytes' -r
complete -c hostednet -n "__fish_hostednet_using_subcommand settings; and __fish_seen_subcommand_from set" -l max-peers -d 'At most this many devices' -r
complete -c hostednet -n "__fish_hostednet_using_subcommand settings; and __fish_seen_subcommand_from set" -l security -d 'How devices prove that they know the key' -r -f -a "wpa2\t'WPA2: every device knows it'
transition\t'WPA2 and WPA3 at once; a device takes the stronger one it knows'
wpa3\t'WPA3 only: SAE with protected management frames'"
complete -c hostednet -n "__fish_hostednet_using_subcommand settings; and __fish_seen_subcommand_from set" -l hidden -d 'Whether beacons hide the name' -r -f -a "yes\t'Yes'
no\t'No'"
complete -c hostednet -n "__fish_hostednet_using_subcommand settings; and __fish_seen_subcommand_from set" -l isolate -d 'Whether devices are kept from each other' -r -f -a "yes\t'Yes'
no\t'No'"
complete -c hostednet -n "__fish_hostednet_using_subcommand settings; and __fish_seen_subcommand_from set" -l address -d 'Which address the access point has' -r -f -a "permanent\t'From the adapter\'s own address'
stable\t'Made up once for this name of the network'
random\t'A new one for every start'"
complete -c hostednet -n "__fish_hostednet_using_subcommand settings; and __fish_seen_subcommand_from set" -l socket -d 'The service\'s socket [default: $HOSTEDNET_SOCKET or /run/hostednet/bus]' -r -F
complete -c hostednet -n "__fish_hostednet_using_subcommand settings; and __fish_seen_subcommand_from set" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hostednet -n "__fish_hostednet_using_subcommand settings; and __fish_seen_subcommand_from access" -l socket -d 'The service\'s socket [default: $HOSTEDNET_SOCKET or /run/hostednet/bus]' -r -F
complete -c hostednet -n "__fish_hostednet_using_subcommand settings; and __fish_seen_subcommand_from access" -l json -d 'Print JSON for programs'
complete -c hostednet -n "__fish_hostednet_using_subcommand settings; and __fish_seen_subcommand_from access" -s h -l help -d 'Print help'
complete -c hostednet -n "__fish_hostednet_using_subcommand settings; and __fish_seen_subcommand_from help" -f -a "set" -d 'Change settings; a running network stops'
complete -c hostednet -n "__fish_hostednet_using_subcommand settings; and __fish_seen_subcommand_from help" -f -a "access" -d 'Show or change who may start, stop, allow and forbid the network: its access list, in SDDL'
complete -c hostednet -n "__fish_hostednet_using_subcommand settings; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hostednet -n "__fish_hostednet_using_subcommand allow" -l socket -d 'The service\'s socket [default: $HOSTEDNET_SOCKET or /run/hostednet/bus]' -r -F
complete -c hostednet -n "__fish_hostednet_using_subcommand allow" -s h -l help -d 'Print help'
complete -c hostednet -n "__fish_hostednet_using_subcommand disallow" -l socket -d 'The service\'s socket [default: $HOSTEDNET_SOCKET or /run/hostednet/bus]' -r -F
complete -c hostednet -n "__fish_hostednet_using_subcommand disallow" -s h -l help -d 'Print help'
complete -c hostednet -n "__fish_hostednet_using_subcommand key; and not __fish_seen_subcommand_from show refresh set clear help" -l socket -d 'The service\'s socket [default: $HOSTEDNET_SOCKET or /run/hostednet/bus]' -r -F
complete -c hostednet -n "__fish_hostednet_using_subcommand key; and not __fish_seen_subcommand_from show refresh set clear help" -s h -l help -d 'Print help'
complete -c hostednet -n "__fish_hostednet_using_subcommand key; and not __fish_seen_subcommand_from show refresh set clear help" -f -a "show" -d 'Print both keys'
complete -c hostednet -n "__fish_hostednet_using_subcommand key; and not __fish_seen_subcommand_from show refresh set clear help" -f -a "refresh" -d 'Make a new primary key; a running network stops'
complete -c hostednet -n "__fish_hostednet_using_subcommand key; and not __fish_seen_subcommand_from show refresh set clear help" -f -a "set" -d 'Set the secondary key, read from standard input'
complete -c hostednet -n "__fish_hostednet_using_subcommand key; and not __fish_seen_subcommand_from show refresh set clear help" -f -a "clear" -d 'Remove the secondary key'
complete -c hostednet -n "__fish_hostednet_using_subcommand key; and not __fish_seen_subcommand_from show refresh set clear help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hostednet -n "__fish_hostednet_using_subcommand key; and __fish_seen_subcommand_from show" -l socket -d 'The service\'s socket [default: $HOSTEDNET_SOCKET or /run/hostednet/bus]' -r -F
complete -c hostednet -n "__fish_hostednet_using_subcommand key; and __fish_seen_subcommand_from show" -l json -d 'Print JSON for programs'
complete -c hostednet -n "__fish_hostednet_using_subcommand key; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c hostednet -n "__fish_hostednet_using_subcommand key; and __fish_seen_subcommand_from refresh" -l socket -d 'The service\'s socket [default: $HOSTEDNET_SOCKET or /run/hostednet/bus]' -r -F
complete -c hostednet -n "__fish_hostednet_using_subcommand key; and __fish_seen_subcommand_from refresh" -s h -l help -d 'Print help'
complete -c hostednet -n "__fish_hostednet_using_subcommand key; and __fish_seen_subcommand_from set" -l socket -d 'The service\'s socket [default: $HOSTEDNET_SOCKET or /run/hostednet/bus]' -r -F
complete -c hostednet -n "__fish_hostednet_using_subcommand key; and __fish_seen_subcommand_from set" -l temporary -d 'For this session, or the next, only'
complete -c hostednet -n "__fish_hostednet_using_subcommand key; and __fish_seen_subcommand_from set" -l hex -d 'The key is 64 hexadecimal digits, not a passphrase'
complete -c hostednet -n "__fish_hostednet_using_subcommand key; and __fish_seen_subcommand_from set" -s h -l help -d 'Print help'
complete -c hostednet -n "__fish_hostednet_using_subcommand key; and __fish_seen_subcommand_from clear" -l socket -d 'The service\'s socket [default: $HOSTEDNET_SOCKET or /run/hostednet/bus]' -r -F
complete -c hostednet -n "__fish_hostednet_using_subcommand key; and __fish_seen_subcommand_from clear" -s h -l help -d 'Print help'
complete -c hostednet -n "__fish_hostednet_using_subcommand key; and __fish_seen_subcommand_from help" -f -a "show" -d 'Print both keys'
complete -c hostednet -n "__fish_hostednet_using_subcommand key; and __fish_seen_subcommand_from help" -f -a "refresh" -d 'Make a new primary key; a running network stops'
complete -c hostednet -n "__fish_hostednet_using_subcommand key; and __fish_seen_subcommand_from help" -f -a "set" -d 'Set the secondary key, read from standard input'
complete -c hostednet -n "__fish_hostednet_using_subcommand key; and __fish_seen_subcommand_from help" -f -a "clear" -d 'Remove the secondary key'
complete -c hostednet -n "__fish_hostednet_using_subcommand key; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hostednet -n "__fish_hostednet_using_subcommand share" -l socket -d 'The service\'s socket [default: $HOSTEDNET_SOCKET or /run/hostednet/bus]' -r -F
complete -c hostednet -n "__fish_hostednet_using_subcommand share" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hostednet -n "__fish_hostednet_using_subcommand unshare" -l socket -d 'The service\'s socket [default: $HOSTEDNET_SOCKET or /run/hostednet/bus]' -r -F
complete -c hostednet -n "__fish_hostednet_using_subcommand unshare" -s h -l help -d 'Print help'
complete -c hostednet -n "__fish_hostednet_using_subcommand forward; and not __fish_seen_subcommand_from add list enable disable remove help" -l socket -d 'The service\'s socket [default: $HOSTEDNET_SOCKET or /run/hostednet/bus]' -r -F
complete -c hostednet -n "__fish_hostednet_using_subcommand forward; and not __fish_seen_subcommand_from add list enable disable remove help" -s h -l help -d 'Print help'
complete -c hostednet -n "__fish_hostednet_using_subcommand forward; and not __fish_seen_subcommand_from add list enable disable remove help" -f -a "add" -d 'Lead a port to a device: `hostednet forward add web tcp 8080 tv:80`'
complete -c hostednet -n "__fish_hostednet_using_subcommand forward; and not __fish_seen_subcommand_from add list enable disable remove help" -f -a "list" -d 'Show the ports, who opened them and where they lead'
complete -c hostednet -n "__fish_hostednet_using_subcommand forward; and not __fish_seen_subcommand_from add list enable disable remove help" -f -a "enable" -d 'Switch one on'
complete -c hostednet -n "__fish_hostednet_using_subcommand forward; and not __fish_seen_subcommand_from add list enable disable remove help" -f -a "disable" -d 'Switch one off'
complete -c hostednet -n "__fish_hostednet_using_subcommand forward; and not __fish_seen_subcommand_from add list enable disable remove help" -f -a "remove" -d 'Remove one'
complete -c hostednet -n "__fish_hostednet_using_subcommand forward; and not __fish_seen_subcommand_from add list enable disable remove help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hostednet -n "__fish_hostednet_using_subcommand forward; and __fish_seen_subcommand_from add" -l on -d 'The public connection it is for [default: the one that is shared, or would be]' -r
complete -c hostednet -n "__fish_hostednet_using_subcommand forward; and __fish_seen_subcommand_from add" -l socket -d 'The service\'s socket [default: $HOSTEDNET_SOCKET or /run/hostednet/bus]' -r -F
complete -c hostednet -n "__fish_hostednet_using_subcommand forward; and __fish_seen_subcommand_from add" -l disabled -d 'Switch it on later'
complete -c hostednet -n "__fish_hostednet_using_subcommand forward; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help'
complete -c hostednet -n "__fish_hostednet_using_subcommand forward; and __fish_seen_subcommand_from list" -l socket -d 'The service\'s socket [default: $HOSTEDNET_SOCKET or /run/hostednet/bus]' -r -F
complete -c hostednet -n "__fish_hostednet_using_subcommand forward; and __fish_seen_subcommand_from list" -l json -d 'Print JSON for programs'
complete -c hostednet -n "__fish_hostednet_using_subcommand forward; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c hostednet -n "__fish_hostednet_using_subcommand forward; and __fish_seen_subcommand_from enable" -l socket -d 'The service\'s socket [default: $HOSTEDNET_SOCKET or /run/hostednet/bus]' -r -F
complete -c hostednet -n "__fish_hostednet_using_subcommand forward; and __fish_seen_subcommand_from enable" -s h -l help -d 'Print help'
complete -c hostednet -n "__fish_hostednet_using_subcommand forward; and __fish_seen_subcommand_from disable" -l socket -d 'The service\'s socket [default: $HOSTEDNET_SOCKET or /run/hostednet/bus]' -r -F
complete -c hostednet -n "__fish_hostednet_using_subcommand forward; and __fish_seen_subcommand_from disable" -s h -l help -d 'Print help'
complete -c hostednet -n "__fish_hostednet_using_subcommand forward; and __fish_seen_subcommand_from remove" -l socket -d 'The service\'s socket [default: $HOSTEDNET_SOCKET or /run/hostednet/bus]' -r -F
complete -c hostednet -n "__fish_hostednet_using_subcommand forward; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help'
complete -c hostednet -n "__fish_hostednet_using_subcommand forward; and __fish_seen_subcommand_from help" -f -a "add" -d 'Lead a port to a device: `hostednet forward add web tcp 8080 tv:80`'
complete -c hostednet -n "__fish_hostednet_using_subcommand forward; and __fish_seen_subcommand_from help" -f -a "list" -d 'Show the ports, who opened them and where they lead'
complete -c hostednet -n "__fish_hostednet_using_subcommand forward; and __fish_seen_subcommand_from help" -f -a "enable" -d 'Switch one on'
complete -c hostednet -n "__fish_hostednet_using_subcommand forward; and __fish_seen_subcommand_from help" -f -a "disable" -d 'Switch one off'
complete -c hostednet -n "__fish_hostednet_using_subcommand forward; and __fish_seen_subcommand_from help" -f -a "remove" -d 'Remove one'
complete -c hostednet -n "__fish_hostednet_using_subcommand forward; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hostednet -n "__fish_hostednet_using_subcommand device; and not __fish_seen_subcommand_from list show set block allow disconnect forget help" -l socket -d 'The service\'s socket [default: $HOSTEDNET_SOCKET or /run/hostednet/bus]' -r -F
complete -c hostednet -n "__fish_hostednet_using_subcommand device; and not __fish_seen_subcommand_from list show set block allow disconnect forget help" -s h -l help -d 'Print help'
complete -c hostednet -n "__fish_hostednet_using_subcommand device; and not __fish_seen_subcommand_from list show set block allow disconnect forget help" -f -a "list" -d 'Show every device that is attached or that something was decided about'
complete -c hostednet -n "__fish_hostednet_using_subcommand device; and not __fish_seen_subcommand_from list show set block allow disconnect forget help" -f -a "show" -d 'Show all about one device'
complete -c hostednet -n "__fish_hostednet_using_subcommand device; and not __fish_seen_subcommand_from list show set block allow disconnect forget help" -f -a "set" -d 'Decide something about a device: `hostednet device set tv --down 20Mbit --quota 5GB --per day`'
complete -c hostednet -n "__fish_hostednet_using_subcommand device; and not __fish_seen_subcommand_from list show set block allow disconnect forget help" -f -a "block" -d 'Keep a device out: it is sent away at once, cannot join, gets no address, and nothing of it passes'
complete -c hostednet -n "__fish_hostednet_using_subcommand device; and not __fish_seen_subcommand_from list show set block allow disconnect forget help" -f -a "allow" -d 'Let a blocked device in again'
complete -c hostednet -n "__fish_hostednet_using_subcommand device; and not __fish_seen_subcommand_from list show set block allow disconnect forget help" -f -a "disconnect" -d 'Send a device away from the access point; it may come back'
complete -c hostednet -n "__fish_hostednet_using_subcommand device; and not __fish_seen_subcommand_from list show set block allow disconnect forget help" -f -a "forget" -d 'Forget what was decided about a device, its promised address and its counters'
complete -c hostednet -n "__fish_hostednet_using_subcommand device; and not __fish_seen_subcommand_from list show set block allow disconnect forget help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hostednet -n "__fish_hostednet_using_subcommand device; and __fish_seen_subcommand_from list" -l socket -d 'The service\'s socket [default: $HOSTEDNET_SOCKET or /run/hostednet/bus]' -r -F
complete -c hostednet -n "__fish_hostednet_using_subcommand device; and __fish_seen_subcommand_from list" -l json -d 'Print JSON for programs'
complete -c hostednet -n "__fish_hostednet_using_subcommand device; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c hostednet -n "__fish_hostednet_using_subcommand device; and __fish_seen_subcommand_from show" -l socket -d 'The service\'s socket [default: $HOSTEDNET_SOCKET or /run/hostednet/bus]' -r -F
complete -c hostednet -n "__fish_hostednet_using_subcommand device; and __fish_seen_subcommand_from show" -l json -d 'Print JSON for programs'
complete -c hostednet -n "__fish_hostednet_using_subcommand device; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c hostednet -n "__fish_hostednet_using_subcommand device; and __fish_seen_subcommand_from set" -l name -d 'What to call it; empty for nothing' -r
complete -c hostednet -n "__fish_hostednet_using_subcommand device; and __fish_seen_subcommand_from set" -l note -d 'What else to remember of it' -r
complete -c hostednet -n "__fish_hostednet_using_subcommand device; and __fish_seen_subcommand_from set" -l address -d 'Promise it this address: 192.168.137.20, or .20 in whatever the network is; none to take it back' -r
complete -c hostednet -n "__fish_hostednet_using_subcommand device; and __fish_seen_subcommand_from set" -l up -d 'Let it send at most so much a second: 10Mbit, 500kB, or a number of bytes' -r
complete -c hostednet -n "__fish_hostednet_using_subcommand device; and __fish_seen_subcommand_from set" -l down -d 'Let it receive at most so much a second' -r
complete -c hostednet -n "__fish_hostednet_using_subcommand device; and __fish_seen_subcommand_from set" -l quota -d 'Let it send and receive so much in all: 5GB, 500MiB; then nothing passes' -r
complete -c hostednet -n "__fish_hostednet_using_subcommand device; and __fish_seen_subcommand_from set" -l per -d 'When the quota begins anew: every day, every month (UTC), or only with --reset-quota' -r
complete -c hostednet -n "__fish_hostednet_using_subcommand device; and __fish_seen_subcommand_from set" -l isolate -d 'Keep it and the other devices from reaching each other' -r
complete -c hostednet -n "__fish_hostednet_using_subcommand device; and __fish_seen_subcommand_from set" -l socket -d 'The service\'s socket [default: $HOSTEDNET_SOCKET or /run/hostednet/bus]' -r -F
complete -c hostednet -n "__fish_hostednet_using_subcommand device; and __fish_seen_subcommand_from set" -l reset-quota -d 'Let its quota begin anew now'
complete -c hostednet -n "__fish_hostednet_using_subcommand device; and __fish_seen_subcommand_from set" -l reset-counters -d 'Let its counters begin anew'
complete -c hostednet -n "__fish_hostednet_using_subcommand device; and __fish_seen_subcommand_from set" -s h -l help -d 'Print help'
complete -c hostednet -n "__fish_hostednet_using_subcommand device; and __fish_seen_subcommand_from block" -l socket -d 'The service\'s socket [default: $HOSTEDNET_SOCKET or /run/hostednet/bus]' -r -F
complete -c hostednet -n "__fish_hostednet_using_subcommand device; and __fish_seen_subcommand_from block" -s h -l help -d 'Print help'
complete -c hostednet -n "__fish_hostednet_using_subcommand device; and __fish_seen_subcommand_from allow" -l socket -d 'The service\'s socket [default: $HOSTEDNET_SOCKET or /run/hostednet/bus]' -r -F
complete -c hostednet -n "__fish_hostednet_using_subcommand device; and __fish_seen_subcommand_from allow" -s h -l help -d 'Print help'
complete -c hostednet -n "__fish_hostednet_using_subcommand device; and __fish_seen_subcommand_from disconnect" -l socket -d 'The service\'s socket [default: $HOSTEDNET_SOCKET or /run/hostednet/bus]' -r -F
complete -c hostednet -n "__fish_hostednet_using_subcommand device; and __fish_seen_subcommand_from disconnect" -s h -l help -d 'Print help'
complete -c hostednet -n "__fish_hostednet_using_subcommand device; and __fish_seen_subcommand_from forget" -l socket -d 'The service\'s socket [default: $HOSTEDNET_SOCKET or /run/hostednet/bus]' -r -F
complete -c hostednet -n "__fish_hostednet_using_subcommand device; and __fish_seen_subcommand_from forget" -s h -l help -d 'Print help'
complete -c hostednet -n "__fish_hostednet_using_subcommand device; and __fish_seen_subcommand_from help" -f -a "list" -d 'Show every device that is attached or that something was decided about'
complete -c hostednet -n "__fish_hostednet_using_subcommand device; and __fish_seen_subcommand_from help" -f -a "show" -d 'Show all about one device'
complete -c hostednet -n "__fish_hostednet_using_subcommand device; and __fish_seen_subcommand_from help" -f -a "set" -d 'Decide something about a device: `hostednet device set tv --down 20Mbit --quota 5GB --per day`'
complete -c hostednet -n "__fish_hostednet_using_subcommand device; and __fish_seen_subcommand_from help" -f -a "block" -d 'Keep a device out: it is sent away at once, cannot join, gets no address, and nothing of it passes'
complete -c hostednet -n "__fish_hostednet_using_subcommand device; and __fish_seen_subcommand_from help" -f -a "allow" -d 'Let a blocked device in again'
complete -c hostednet -n "__fish_hostednet_using_subcommand device; and __fish_seen_subcommand_from help" -f -a "disconnect" -d 'Send a device away from the access point; it may come back'
complete -c hostednet -n "__fish_hostednet_using_subcommand device; and __fish_seen_subcommand_from help" -f -a "forget" -d 'Forget what was decided about a device, its promised address and its counters'
complete -c hostednet -n "__fish_hostednet_using_subcommand device; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hostednet -n "__fish_hostednet_using_subcommand join" -l interface -d 'The Wi-Fi interface [default: the only one]' -r
complete -c hostednet -n "__fish_hostednet_using_subcommand join" -l key-file -d 'Read the key (a passphrase, or 64 hexadecimal digits) from a file, or from standard input (-)' -r -F
complete -c hostednet -n "__fish_hostednet_using_subcommand join" -l socket -d 'The service\'s socket [default: $HOSTEDNET_SOCKET or /run/hostednet/bus]' -r -F
complete -c hostednet -n "__fish_hostednet_using_subcommand join" -l open -d 'The network has no key'
complete -c hostednet -n "__fish_hostednet_using_subcommand join" -l once -d 'End at the first failure or loss, with status 1, instead of trying again'
complete -c hostednet -n "__fish_hostednet_using_subcommand join" -l resolv-conf -d 'Write the name servers into /etc/resolv.conf if need be, and restore it at the end'
complete -c hostednet -n "__fish_hostednet_using_subcommand join" -l json -d 'Print JSON for programs'
complete -c hostednet -n "__fish_hostednet_using_subcommand join" -s h -l help -d 'Print help'
complete -c hostednet -n "__fish_hostednet_using_subcommand service; and not __fish_seen_subcommand_from status start stop set-start-type help" -l socket -d 'The service\'s socket [default: $HOSTEDNET_SOCKET or /run/hostednet/bus]' -r -F
complete -c hostednet -n "__fish_hostednet_using_subcommand service; and not __fish_seen_subcommand_from status start stop set-start-type help" -s h -l help -d 'Print help'
complete -c hostednet -n "__fish_hostednet_using_subcommand service; and not __fish_seen_subcommand_from status start stop set-start-type help" -f -a "status" -d 'Show the parts, or one of them'
complete -c hostednet -n "__fish_hostednet_using_subcommand service; and not __fish_seen_subcommand_from status start stop set-start-type help" -f -a "start" -d 'Start a part'
complete -c hostednet -n "__fish_hostednet_using_subcommand service; and not __fish_seen_subcommand_from status start stop set-start-type help" -f -a "stop" -d 'Stop a part and what it does'
complete -c hostednet -n "__fish_hostednet_using_subcommand service; and not __fish_seen_subcommand_from status start stop set-start-type help" -f -a "set-start-type" -d 'Say when a part starts; what runs goes on'
complete -c hostednet -n "__fish_hostednet_using_subcommand service; and not __fish_seen_subcommand_from status start stop set-start-type help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hostednet -n "__fish_hostednet_using_subcommand service; and __fish_seen_subcommand_from status" -l socket -d 'The service\'s socket [default: $HOSTEDNET_SOCKET or /run/hostednet/bus]' -r -F
complete -c hostednet -n "__fish_hostednet_using_subcommand service; and __fish_seen_subcommand_from status" -l json -d 'Print JSON for programs'
complete -c hostednet -n "__fish_hostednet_using_subcommand service; and __fish_seen_subcommand_from status" -s h -l help -d 'Print help'
complete -c hostednet -n "__fish_hostednet_using_subcommand service; and __fish_seen_subcommand_from start" -l socket -d 'The service\'s socket [default: $HOSTEDNET_SOCKET or /run/hostednet/bus]' -r -F
complete -c hostednet -n "__fish_hostednet_using_subcommand service; and __fish_seen_subcommand_from start" -l json -d 'Print JSON for programs'
complete -c hostednet -n "__fish_hostednet_using_subcommand service; and __fish_seen_subcommand_from start" -s h -l help -d 'Print help'
complete -c hostednet -n "__fish_hostednet_using_subcommand service; and __fish_seen_subcommand_from stop" -l socket -d 'The service\'s socket [default: $HOSTEDNET_SOCKET or /run/hostednet/bus]' -r -F
complete -c hostednet -n "__fish_hostednet_using_subcommand service; and __fish_seen_subcommand_from stop" -l json -d 'Print JSON for programs'
complete -c hostednet -n "__fish_hostednet_using_subcommand service; and __fish_seen_subcommand_from stop" -s h -l help -d 'Print help'
complete -c hostednet -n "__fish_hostednet_using_subcommand service; and __fish_seen_subcommand_from set-start-type" -l socket -d 'The service\'s socket [default: $HOSTEDNET_SOCKET or /run/hostednet/bus]' -r -F
complete -c hostednet -n "__fish_hostednet_using_subcommand service; and __fish_seen_subcommand_from set-start-type" -l json -d 'Print JSON for programs'
complete -c hostednet -n "__fish_hostednet_using_subcommand service; and __fish_seen_subcommand_from set-start-type" -s h -l help -d 'Print help'
complete -c hostednet -n "__fish_hostednet_using_subcommand service; and __fish_seen_subcommand_from help" -f -a "status" -d 'Show the parts, or one of them'
complete -c hostednet -n "__fish_hostednet_using_subcommand service; and __fish_seen_subcommand_from help" -f -a "start" -d 'Start a part'
complete -c hostednet -n "__fish_hostednet_using_subcommand service; and __fish_seen_subcommand_from help" -f -a "stop" -d 'Stop a part and what it does'
complete -c hostednet -n "__fish_hostednet_using_subcommand service; and __fish_seen_subcommand_from help" -f -a "set-start-type" -d 'Say when a part starts; what runs goes on'
complete -c hostednet -n "__fish_hostednet_using_subcommand service; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hostednet -n "__fish_hostednet_using_subcommand netsh" -l socket -d 'The service\'s socket [default: $HOSTEDNET_SOCKET or /run/hostednet/bus]' -r -F
complete -c hostednet -n "__fish_hostednet_using_subcommand net" -l socket -d 'The service\'s socket [default: $HOSTEDNET_SOCKET or /run/hostednet/bus]' -r -F
complete -c hostednet -n "__fish_hostednet_using_subcommand sc" -l socket -d 'The service\'s socket [default: $HOSTEDNET_SOCKET or /run/hostednet/bus]' -r -F
complete -c hostednet -n "__fish_hostednet_using_subcommand completions" -l socket -d 'The service\'s socket [default: $HOSTEDNET_SOCKET or /run/hostednet/bus]' -r -F
complete -c hostednet -n "__fish_hostednet_using_subcommand completions" -s h -l help -d 'Print help'
complete -c hostednet -n "__fish_hostednet_using_subcommand man" -l to -d 'Write the man pages and the completions of every subcommand below this folder instead' -r -f -a "(__fish_complete_directories)"
complete -c hostednet -n "__fish_hostednet_using_subcommand man" -l socket -d 'The service\'s socket [default: $HOSTEDNET_SOCKET or /run/hostednet/bus]' -r -F
complete -c hostednet -n "__fish_hostednet_using_subcommand man" -s h -l help -d 'Print help'
complete -c hostednet -n "__fish_hostednet_using_subcommand help; and not __fish_seen_subcommand_from up hold start stop status devices doctor monitor connections settings allow disallow key share unshare forward device join service netsh net sc completions man help" -f -a "up" -d 'Start the hosted network with full sharing; undo it with Ctrl-C'
complete -c hostednet -n "__fish_hostednet_using_subcommand help; and not __fish_seen_subcommand_from up hold start stop status devices doctor monitor connections settings allow disallow key share unshare forward device join service netsh net sc completions man help" -f -a "hold" -d 'Hold a reference: the network runs for as long as COMMAND, or this process, does'
complete -c hostednet -n "__fish_hostednet_using_subcommand help; and not __fish_seen_subcommand_from up hold start stop status devices doctor monitor connections settings allow disallow key share unshare forward device join service netsh net sc completions man help" -f -a "start" -d 'Start the hosted network for good (ForceStart)'
complete -c hostednet -n "__fish_hostednet_using_subcommand help; and not __fish_seen_subcommand_from up hold start stop status devices doctor monitor connections settings allow disallow key share unshare forward device join service netsh net sc completions man help" -f -a "stop" -d 'Stop the hosted network whoever uses it (ForceStop)'
complete -c hostednet -n "__fish_hostednet_using_subcommand help; and not __fish_seen_subcommand_from up hold start stop status devices doctor monitor connections settings allow disallow key share unshare forward device join service netsh net sc completions man help" -f -a "status" -d 'Show everything'
complete -c hostednet -n "__fish_hostednet_using_subcommand help; and not __fish_seen_subcommand_from up hold start stop status devices doctor monitor connections settings allow disallow key share unshare forward device join service netsh net sc completions man help" -f -a "devices" -d 'Show who is attached'
complete -c hostednet -n "__fish_hostednet_using_subcommand help; and not __fish_seen_subcommand_from up hold start stop status devices doctor monitor connections settings allow disallow key share unshare forward device join service netsh net sc completions man help" -f -a "doctor" -d 'Say why a device is not online, and what to do; status 0: nothing is wrong, 1: something is'
complete -c hostednet -n "__fish_hostednet_using_subcommand help; and not __fish_seen_subcommand_from up hold start stop status devices doctor monitor connections settings allow disallow key share unshare forward device join service netsh net sc completions man help" -f -a "monitor" -d 'Show what happens, as it happens'
complete -c hostednet -n "__fish_hostednet_using_subcommand help; and not __fish_seen_subcommand_from up hold start stop status devices doctor monitor connections settings allow disallow key share unshare forward device join service netsh net sc completions man help" -f -a "connections" -d 'Show every connection and whether it can be shared'
complete -c hostednet -n "__fish_hostednet_using_subcommand help; and not __fish_seen_subcommand_from up hold start stop status devices doctor monitor connections settings allow disallow key share unshare forward device join service netsh net sc completions man help" -f -a "settings" -d 'Show or change the settings'
complete -c hostednet -n "__fish_hostednet_using_subcommand help; and not __fish_seen_subcommand_from up hold start stop status devices doctor monitor connections settings allow disallow key share unshare forward device join service netsh net sc completions man help" -f -a "allow" -d 'Allow the hosted network'
complete -c hostednet -n "__fish_hostednet_using_subcommand help; and not __fish_seen_subcommand_from up hold start stop status devices doctor monitor connections settings allow disallow key share unshare forward device join service netsh net sc completions man help" -f -a "disallow" -d 'Forbid the hosted network; a running one stops'
complete -c hostednet -n "__fish_hostednet_using_subcommand help; and not __fish_seen_subcommand_from up hold start stop status devices doctor monitor connections settings allow disallow key share unshare forward device join service netsh net sc completions man help" -f -a "key" -d 'Show, make or set keys; a key is typed or piped in, never an argument'
complete -c hostednet -n "__fish_hostednet_using_subcommand help; and not __fish_seen_subcommand_from up hold start stop status devices doctor monitor connections settings allow disallow key share unshare forward device join service netsh net sc completions man help" -f -a "share" -d 'Share the connection PUBLIC with the connections PRIVATE'
complete -c hostednet -n "__fish_hostednet_using_subcommand help; and not __fish_seen_subcommand_from up hold start stop status devices doctor monitor connections settings allow disallow key share unshare forward device join service netsh net sc completions man help" -f -a "unshare" -d 'Stop sharing'
complete -c hostednet -n "__fish_hostednet_using_subcommand help; and not __fish_seen_subcommand_from up hold start stop status devices doctor monitor connections settings allow disallow key share unshare forward device join service netsh net sc completions man help" -f -a "forward" -d 'Lead ports of the public connection to devices'
complete -c hostednet -n "__fish_hostednet_using_subcommand help; and not __fish_seen_subcommand_from up hold start stop status devices doctor monitor connections settings allow disallow key share unshare forward device join service netsh net sc completions man help" -f -a "device" -d 'Name, block, limit and count single devices'
complete -c hostednet -n "__fish_hostednet_using_subcommand help; and not __fish_seen_subcommand_from up hold start stop status devices doctor monitor connections settings allow disallow key share unshare forward device join service netsh net sc completions man help" -f -a "join" -d 'On a device: join a network and find the way back whenever the connection is lost; Ctrl-C undoes it'
complete -c hostednet -n "__fish_hostednet_using_subcommand help; and not __fish_seen_subcommand_from up hold start stop status devices doctor monitor connections settings allow disallow key share unshare forward device join service netsh net sc completions man help" -f -a "service" -d 'Show, start, stop or configure a part of the service'
complete -c hostednet -n "__fish_hostednet_using_subcommand help; and not __fish_seen_subcommand_from up hold start stop status devices doctor monitor connections settings allow disallow key share unshare forward device join service netsh net sc completions man help" -f -a "netsh" -d 'The commands and the output of Windows\' netsh, for scripts that know them'
complete -c hostednet -n "__fish_hostednet_using_subcommand help; and not __fish_seen_subcommand_from up hold start stop status devices doctor monitor connections settings allow disallow key share unshare forward device join service netsh net sc completions man help" -f -a "net" -d 'The same for net: `net start|stop sharedaccess`'
complete -c hostednet -n "__fish_hostednet_using_subcommand help; and not __fish_seen_subcommand_from up hold start stop status devices doctor monitor connections settings allow disallow key share unshare forward device join service netsh net sc completions man help" -f -a "sc" -d 'The same for sc: `sc query|start|stop sharedaccess`'
complete -c hostednet -n "__fish_hostednet_using_subcommand help; and not __fish_seen_subcommand_from up hold start stop status devices doctor monitor connections settings allow disallow key share unshare forward device join service netsh net sc completions man help" -f -a "completions" -d 'Print the completions of a shell'
complete -c hostednet -n "__fish_hostednet_using_subcommand help; and not __fish_seen_subcommand_from up hold start stop status devices doctor monitor connections settings allow disallow key share unshare forward device join service netsh net sc completions man help" -f -a "man" -d 'Print the man page'
complete -c hostednet -n "__fish_hostednet_using_subcommand help; and not __fish_seen_subcommand_from up hold start stop status devices doctor monitor connections settings allow disallow key share unshare forward device join service netsh net sc completions man help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hostednet -n "__fish_hostednet_using_subcommand help; and __fish_seen_subcommand_from settings" -f -a "set" -d 'Change settings; a running network stops'
complete -c hostednet -n "__fish_hostednet_using_subcommand help; and __fish_seen_subcommand_from settings" -f -a "access" -d 'Show or change who may start, stop, allow and forbid the network: its access list, in SDDL'
complete -c hostednet -n "__fish_hostednet_using_subcommand help; and __fish_seen_subcommand_from key" -f -a "show" -d 'Print both keys'
complete -c hostednet -n "__fish_hostednet_using_subcommand help; and __fish_seen_subcommand_from key" -f -a "refresh" -d 'Make a new primary key; a running network stops'
complete -c hostednet -n "__fish_hostednet_using_subcommand help; and __fish_seen_subcommand_from key" -f -a "set" -d 'Set the secondary key, read from standard input'
complete -c hostednet -n "__fish_hostednet_using_subcommand help; and __fish_seen_subcommand_from key" -f -a "clear" -d 'Remove the secondary key'
complete -c hostednet -n "__fish_hostednet_using_subcommand help; and __fish_seen_subcommand_from forward" -f -a "add" -d 'Lead a port to a device: `hostednet forward add web tcp 8080 tv:80`'
complete -c hostednet -n "__fish_hostednet_using_subcommand help; and __fish_seen_subcommand_from forward" -f -a "list" -d 'Show the ports, who opened them and where they lead'
complete -c hostednet -n "__fish_hostednet_using_subcommand help; and __fish_seen_subcommand_from forward" -f -a "enable" -d 'Switch one on'
complete -c hostednet -n "__fish_hostednet_using_subcommand help; and __fish_seen_subcommand_from forward" -f -a "disable" -d 'Switch one off'
complete -c hostednet -n "__fish_hostednet_using_subcommand help; and __fish_seen_subcommand_from forward" -f -a "remove" -d 'Remove one'
complete -c hostednet -n "__fish_hostednet_using_subcommand help; and __fish_seen_subcommand_from device" -f -a "list" -d 'Show every device that is attached or that something was decided about'
complete -c hostednet -n "__fish_hostednet_using_subcommand help; and __fish_seen_subcommand_from device" -f -a "show" -d 'Show all about one device'
complete -c hostednet -n "__fish_hostednet_using_subcommand help; and __fish_seen_subcommand_from device" -f -a "set" -d 'Decide something about a device: `hostednet device set tv --down 20Mbit --quota 5GB --per day`'
complete -c hostednet -n "__fish_hostednet_using_subcommand help; and __fish_seen_subcommand_from device" -f -a "block" -d 'Keep a device out: it is sent away at once, cannot join, gets no address, and nothing of it passes'
complete -c hostednet -n "__fish_hostednet_using_subcommand help; and __fish_seen_subcommand_from device" -f -a "allow" -d 'Let a blocked device in again'
complete -c hostednet -n "__fish_hostednet_using_subcommand help; and __fish_seen_subcommand_from device" -f -a "disconnect" -d 'Send a device away from the access point; it may come back'
complete -c hostednet -n "__fish_hostednet_using_subcommand help; and __fish_seen_subcommand_from device" -f -a "forget" -d 'Forget what was decided about a device, its promised address and its counters'
complete -c hostednet -n "__fish_hostednet_using_subcommand help; and __fish_seen_subcommand_from service" -f -a "status" -d 'Show the parts, or one of them'
complete -c hostednet -n "__fish_hostednet_using_subcommand help; and __fish_seen_subcommand_from service" -f -a "start" -d 'Start a part'
complete -c hostednet -n "__fish_hostednet_using_subcommand help; and __fish_seen_subcommand_from service" -f -a "stop" -d 'Stop a part and what it does'
complete -c hostednet -n "__fish_hostednet_using_subcommand help; and __fish_seen_subcommand_from service" -f -a "set-start-type" -d 'Say when a part starts; what runs goes on'
