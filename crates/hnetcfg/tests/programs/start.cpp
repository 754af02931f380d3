// The hosted network together with full sharing, whole or not at all (spec/sequences.md sections 2, 4 and 7), in C++.
// Arguments: the public connection, the private one ("-": the adapter of the hosted network). Prints "ready" before sharing is
// switched and "running" when all of it runs, and waits for a line each time.
#include <cstdio>
#include <netcon.h>
#include <string>
#include <utility>
#include <vector>
#include <wlanapi.h>

template <typename T> class Com {
    T *object = nullptr;

  public:
    Com() = default;
    explicit Com(T *given) : object(given) {}
    Com(const Com &other) : object(other.object) {
        if (object) object->AddRef();
    }
    Com(Com &&other) noexcept : object(std::exchange(other.object, nullptr)) {}
    Com &operator=(Com other) noexcept {
        std::swap(object, other.object);
        return *this;
    }
    ~Com() {
        if (object) object->Release();
    }
    T **place() { return &object; }
    T *get() const { return object; }
    T *operator->() const { return object; }
    explicit operator bool() const { return object != nullptr; }
    template <typename U> Com<U> as() const {
        void *pointer = nullptr;
        object->QueryInterface(__uuidof(U), &pointer);
        return Com<U>(static_cast<U *>(pointer));
    }
};

struct Connection {
    std::string name;
    GUID guid;
    Com<INetSharingConfiguration> configuration;
};

static int fail(const char *step, long long code) {
    std::printf("failed: %s 0x%llx\n", step, code & 0xffffffff);
    return 1;
}

static void pause(const char *word) {
    std::printf("%s\n", word);
    std::fflush(stdout);
    (void)std::getchar();
}

template <typename Collection> static std::vector<Connection> read(INetSharingManager *manager, Collection *all) {
    std::vector<Connection> found;
    Com<IUnknown> unknown;
    if (FAILED(all->get__NewEnum(unknown.place()))) return found;
    auto each = unknown.template as<IEnumVARIANT>();
    VARIANT value;
    VariantInit(&value);
    ULONG fetched = 0;
    while (each->Next(1, &value, &fetched) == S_OK && fetched == 1) {
        auto connection = Com<IUnknown>(V_UNKNOWN(&value)).template as<INetConnection>();
        NETCON_PROPERTIES *properties = nullptr;
        if (FAILED(connection->GetProperties(&properties))) continue;
        Connection one{{}, properties->guidId, {}};
        for (LPCWSTR c = properties->pszwName; *c; c++) one.name += static_cast<char>(*c);
        NcFreeNetconProperties(properties);
        if (SUCCEEDED(manager->get_INetSharingConfigurationForINetConnection(connection.get(), one.configuration.place())))
            found.push_back(one);
    }
    return found;
}

// Publics first.
static std::vector<Connection> pair(INetSharingManager *manager) {
    Com<INetSharingPublicConnectionCollection> publics;
    Com<INetSharingPrivateConnectionCollection> privates;
    std::vector<Connection> both;
    if (SUCCEEDED(manager->get_EnumPublicConnections(ICSSC_DEFAULT, publics.place()))) both = read(manager, publics.get());
    if (SUCCEEDED(manager->get_EnumPrivateConnections(ICSSC_DEFAULT, privates.place())))
        for (auto &one : read(manager, privates.get())) both.push_back(one);
    return both;
}

// Step 8 and, when it fails, R1: sharing is on the wanted pair or as it was.
static int share(INetSharingManager *manager, const Connection &pub, const Connection &priv) {
    const auto cached = pair(manager);
    const bool same = cached.size() == 2 && cached[0].guid == pub.guid && cached[1].guid == priv.guid;
    if (same) return 0;
    for (const auto &one : cached) std::printf("cached: %s\n", one.name.c_str());
    std::vector<SHARINGCONNECTIONTYPE> roles;
    for (const auto &one : cached) {
        SHARINGCONNECTIONTYPE role = ICSSHARINGTYPE_PUBLIC;
        one.configuration->get_SharingConnectionType(&role);
        roles.push_back(role);
    }
    pause("ready");
    HRESULT code = S_OK;
    for (const auto &one : cached)
        if (SUCCEEDED(code)) code = one.configuration->DisableSharing();
    if (SUCCEEDED(code)) code = pub.configuration->EnableSharing(ICSSHARINGTYPE_PUBLIC);
    if (SUCCEEDED(code)) code = priv.configuration->EnableSharing(ICSSHARINGTYPE_PRIVATE);
    if (SUCCEEDED(code)) return 0;
    pub.configuration->DisableSharing();
    priv.configuration->DisableSharing();
    for (size_t i = 0; i < cached.size(); i++) cached[i].configuration->EnableSharing(roles[i]);
    return fail("sharing", code);
}

static int start(HANDLE session, const std::string &pub, const std::string &priv) {
    WLAN_HOSTED_NETWORK_REASON reason;
    WLAN_OPCODE_VALUE_TYPE kind;
    DWORD size = 0;
    PVOID enabled = nullptr;
    PWLAN_HOSTED_NETWORK_STATUS status = nullptr;
    Com<INetSharingManager> manager;
    void *pointer = nullptr;
    VARIANT_BOOL installed = VARIANT_FALSE;

    if (DWORD code = WlanHostedNetworkInitSettings(session, &reason, nullptr)) return fail("InitSettings", code);
    if (DWORD code = WlanHostedNetworkQueryStatus(session, &status, nullptr)) return fail("QueryStatus", code);
    const auto state = status->HostedNetworkState;
    WlanFreeMemory(status);
    DWORD code = WlanHostedNetworkQueryProperty(session, wlan_hosted_network_opcode_enable, &size, &enabled, &kind, nullptr);
    const bool allowed = code == ERROR_SUCCESS && *static_cast<BOOL *>(enabled);
    WlanFreeMemory(enabled);
    if (!allowed || state == wlan_hosted_network_unavailable) return fail("available", code);

    HRESULT made = CoCreateInstance(__uuidof(NetSharingManager), nullptr, CLSCTX_INPROC_SERVER, __uuidof(INetSharingManager), &pointer);
    if (FAILED(made)) return fail("CoCreateInstance", made);
    manager = Com<INetSharingManager>(static_cast<INetSharingManager *>(pointer));
    if (FAILED(manager->get_SharingInstalled(&installed)) || !installed) return fail("SharingInstalled", 0);

    // Others notice and come back by themselves; only needed when sharing was off before the network was started.
    if (state == wlan_hosted_network_active && pair(manager.get()).size() < 2)
        if (DWORD stopped = WlanHostedNetworkForceStop(session, &reason, nullptr)) return fail("ForceStop", stopped);
    if (DWORD started = WlanHostedNetworkStartUsing(session, &reason, nullptr)) return fail("StartUsing", started);
    if (DWORD asked = WlanHostedNetworkQueryStatus(session, &status, nullptr)) return fail("QueryStatus", asked);
    const GUID adapter = status->IPDeviceID;
    WlanFreeMemory(status);

    // The adapter is in the folder only now.
    Com<INetSharingEveryConnectionCollection> all;
    Connection wanted[2];
    if (FAILED(manager->get_EnumEveryConnection(all.place()))) return fail("EnumEveryConnection", 0);
    for (const auto &one : read(manager.get(), all.get())) {
        if (one.name == pub) wanted[0] = one;
        if (priv == "-" ? one.guid == adapter : one.name == priv) wanted[1] = one;
    }
    if (!wanted[0].configuration || !wanted[1].configuration) {
        WlanHostedNetworkForceStop(session, &reason, nullptr);
        return fail("no such connection", 0);
    }
    if (int failed = share(manager.get(), wanted[0], wanted[1])) {
        WlanHostedNetworkForceStop(session, &reason, nullptr);
        return failed;
    }
    pause("running");
    // The stop with full sharing: sharing first, then the network.
    for (const auto &one : wanted)
        if (HRESULT off = one.configuration->DisableSharing()) return fail("DisableSharing", off);
    if (DWORD stopped = WlanHostedNetworkForceStop(session, &reason, nullptr)) return fail("ForceStop", stopped);
    return 0;
}

int main(int argc, char **argv) {
    DWORD version = 0;
    HANDLE session = nullptr;
    if (argc < 3) return 2;
    if (DWORD code = WlanOpenHandle(WLAN_API_VERSION, nullptr, &version, &session)) return fail("WlanOpenHandle", code);
    if (HRESULT code = CoInitializeEx(nullptr, COINIT_MULTITHREADED)) return fail("CoInitializeEx", code);
    const int outcome = start(session, argv[1], argv[2]);
    const bool idle = DllCanUnloadNow() == S_OK;
    CoUninitialize();
    WlanCloseHandle(session, nullptr);
    return outcome ? outcome : idle ? 0 : fail("objects are left", 0);
}
