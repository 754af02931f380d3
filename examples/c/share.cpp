/* Shares one connection with another: finds both, shares, adds and lists a port mapping, waits for a line (or the end) on
 * standard input, and undoes all of it. Needs the rights of an administrator.
 *
 * Build: c++ -std=c++17 -o share share.cpp -lhnetcfg
 * Usage: share [PUBLIC PRIVATE]      without names: list the connections
 */
#include <cstdio>
#include <netcon.h>
#include <string>

/* Releases an object when it goes out of scope. */
template <typename T> struct Com {
    T *object = nullptr;
    Com() = default;
    Com(const Com &) = delete;
    Com &operator=(const Com &) = delete;
    ~Com() {
        if (object) object->Release();
    }
    T *operator->() const { return object; }
};

static std::string narrow(const OLECHAR *text) {
    std::string bytes;
    for (; text && *text; text++) {
        char32_t c = *text;
        if (c >= 0xd800 && c < 0xdc00 && text[1]) c = 0x10000 + ((c - 0xd800) << 10) + (*++text - 0xdc00u);
        if (c < 0x80) {
            bytes += static_cast<char>(c);
            continue;
        }
        int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
        bytes += static_cast<char>((0xf00 >> more & 0xff) | static_cast<int>(c >> 6 * more));
        while (more-- > 0) bytes += static_cast<char>(0x80 | (c >> 6 * more & 0x3f));
    }
    return bytes;
}

static bool failed(const char *what, HRESULT code) {
    if (SUCCEEDED(code)) return false;
    std::fprintf(stderr, "%s failed: 0x%08x\n", what, static_cast<unsigned>(code));
    return true;
}

/* Finds the configurations of both connections; prints every connection when there are no names. */
static bool find(INetSharingManager *manager, const char *const names[2], Com<INetSharingConfiguration> found[2]) {
    Com<INetSharingEveryConnectionCollection> all;
    Com<IUnknown> unknown;
    Com<IEnumVARIANT> each;
    if (failed("get_EnumEveryConnection", manager->get_EnumEveryConnection(&all.object))) return false;
    if (failed("get__NewEnum", all->get__NewEnum(&unknown.object))) return false;
    void *enumerator = nullptr;
    if (failed("QueryInterface", unknown->QueryInterface(IID_IEnumVARIANT, &enumerator))) return false;
    each.object = static_cast<IEnumVARIANT *>(enumerator);
    VARIANT value;
    VariantInit(&value);
    while (each->Next(1, &value, nullptr) == S_OK) {
        Com<INetConnection> connection;
        void *pointer = nullptr;
        NETCON_PROPERTIES *properties = nullptr;
        HRESULT code = V_UNKNOWN(&value)->QueryInterface(IID_INetConnection, &pointer);
        connection.object = static_cast<INetConnection *>(pointer);
        VariantClear(&value);
        /* A connection that went away in the meantime is passed over. */
        if (FAILED(code) || FAILED(connection->GetProperties(&properties))) continue;
        const std::string name = narrow(properties->pszwName);
        if (!names) std::printf("%s: %s\n", name.c_str(), narrow(properties->pszwDeviceName).c_str());
        NcFreeNetconProperties(properties);
        for (int i = 0; names && i < 2; i++) {
            if (name != names[i]) continue;
            code = manager->get_INetSharingConfigurationForINetConnection(connection.object, &found[i].object);
            if (failed(names[i], code)) return false;
        }
    }
    for (int i = 0; names && i < 2; i++) {
        if (!found[i].object) return std::fprintf(stderr, "there is no connection %s\n", names[i]), false;
    }
    return true;
}

static void list(INetSharingConfiguration *configuration) {
    Com<INetSharingPortMappingCollection> all;
    Com<IUnknown> unknown;
    if (failed("get_EnumPortMappings", configuration->get_EnumPortMappings(ICSSC_DEFAULT, &all.object))) return;
    void *enumerator = nullptr;
    if (failed("get__NewEnum", all->get__NewEnum(&unknown.object))) return;
    if (failed("QueryInterface", unknown->QueryInterface(IID_IEnumNetSharingPortMapping, &enumerator))) return;
    Com<IEnumNetSharingPortMapping> each;
    each.object = static_cast<IEnumNetSharingPortMapping *>(enumerator);
    VARIANT value;
    VariantInit(&value);
    while (each->Next(1, &value, nullptr) == S_OK) {
        Com<INetSharingPortMappingProps> properties;
        auto *mapping = static_cast<INetSharingPortMapping *>(V_DISPATCH(&value));
        BSTR name = nullptr, target = nullptr;
        LONG outside = 0, inside = 0;
        VARIANT_BOOL enabled = VARIANT_FALSE;
        if (SUCCEEDED(mapping->get_Properties(&properties.object))) {
            properties->get_Name(&name);
            properties->get_ExternalPort(&outside);
            properties->get_InternalPort(&inside);
            properties->get_TargetIPAddress(&target);
            properties->get_Enabled(&enabled);
            std::printf("mapping: %s, port %d to %s port %d, %s\n", narrow(name).c_str(), outside, narrow(target).c_str(),
                        inside, enabled ? "enabled" : "disabled");
        }
        SysFreeString(name);
        SysFreeString(target);
        VariantClear(&value);
    }
}

static int share(INetSharingConfiguration *pub, INetSharingConfiguration *priv) {
    if (failed("EnableSharing(public)", pub->EnableSharing(ICSSHARINGTYPE_PUBLIC))) return 1;
    bool wrong = failed("EnableSharing(private)", priv->EnableSharing(ICSSHARINGTYPE_PRIVATE));
    Com<INetSharingPortMapping> mapping;
    if (!wrong) {
        BSTR name = SysAllocString(u"Web server"), target = SysAllocString(u"192.168.137.7");
        wrong = failed("AddPortMapping",
                       pub->AddPortMapping(name, 6, 8080, 80, 0, target, ICSTT_IPADDRESS, &mapping.object)) ||
                failed("Enable", mapping->Enable());
        SysFreeString(name);
        SysFreeString(target);
        list(pub);
        std::printf("shared\n");
        std::fflush(stdout);
        (void)std::getchar();
    }
    if (mapping.object) wrong = failed("Delete", mapping->Delete()) || wrong;
    wrong = failed("DisableSharing(private)", priv->DisableSharing()) || wrong;
    return failed("DisableSharing(public)", pub->DisableSharing()) || wrong;
}

int main(int argc, char **argv) {
    if (failed("CoInitialize", CoInitialize(nullptr))) return 1;
    int status = 1;
    {
        Com<INetSharingManager> manager;
        Com<INetSharingConfiguration> found[2];
        void *pointer = nullptr;
        HRESULT code = CoCreateInstance(CLSID_NetSharingManager, nullptr, CLSCTX_ALL, IID_INetSharingManager, &pointer);
        manager.object = static_cast<INetSharingManager *>(pointer);
        if (!failed("CoCreateInstance", code) && find(manager.object, argc < 3 ? nullptr : argv + 1, found)) {
            status = argc < 3 ? 0 : share(found[0].object, found[1].object);
        }
    }
    CoUninitialize();
    return status;
}
