/* netcon.h - connection sharing for C and C++ programs: libhnetcfg.so
 *
 * Interfaces, identifiers, layouts, numbers and return codes are those of the Windows interface of the same name,
 * together with what such programs use of COM. In C an object is called through lpVtbl, or with COBJMACROS defined
 * through INetSharingManager_get_SharingInstalled(manager, ...); in C++ the interfaces are classes.
 *
 * Characters (OLECHAR, WCHAR) are UTF-16 units of two bytes, whatever wchar_t is: write u"text", not L"text". In C++
 * they are char16_t. A BSTR carries its length before the first unit and comes from SysAllocString and its like;
 * a literal is none.
 *
 * CoInitialize comes first on each thread that makes objects. Objects can then be used from any thread. What they ask is
 * asked of the service (socket $HOSTEDNET_SOCKET, else /run/hostednet/bus): 0x80070426 when it does not run. Strings handed
 * out are freed with SysFreeString, the answer of INetConnection::GetProperties with NcFreeNetconProperties.
 *
 * It can be included together with wlanapi.h, in any order.
 */
#ifndef HOSTEDNET_NETCON_H
#define HOSTEDNET_NETCON_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef WINAPI
#define WINAPI
#endif
#ifndef VOID
#define VOID void
#endif
#ifndef TRUE
#define TRUE 1
#define FALSE 0
#endif

typedef uint8_t BYTE;
typedef uint8_t UCHAR, *PUCHAR;
typedef uint16_t WORD, USHORT;
typedef uint32_t DWORD, ULONG, *PDWORD;
typedef uint32_t UINT;
typedef int32_t BOOL, *PBOOL;
typedef int32_t INT, LONG, HRESULT, SCODE, DISPID;
typedef int64_t LONGLONG;
typedef uint64_t ULONGLONG;
typedef DWORD LCID;
#ifdef __cplusplus
typedef char16_t WCHAR, *PWCHAR, *LPWSTR;
#else
typedef uint16_t WCHAR, *PWCHAR, *LPWSTR;
#endif
typedef const WCHAR *LPCWSTR;
typedef void *PVOID, *LPVOID;
typedef WCHAR OLECHAR, *LPOLESTR, *BSTR;
typedef const OLECHAR *LPCOLESTR;
typedef int16_t VARIANT_BOOL;
typedef uint16_t VARTYPE;

#define VARIANT_TRUE ((VARIANT_BOOL)-1)
#define VARIANT_FALSE ((VARIANT_BOOL)0)

#ifndef GUID_DEFINED
#define GUID_DEFINED
typedef struct _GUID {
    uint32_t Data1;
    uint16_t Data2;
    uint16_t Data3;
    uint8_t Data4[8];
} GUID;
#endif
typedef GUID IID, CLSID;
#ifdef __cplusplus
typedef const GUID &REFGUID, &REFIID, &REFCLSID;
#else
typedef const GUID *REFGUID, *REFIID, *REFCLSID;
#endif

/* Return values. */
#define SUCCEEDED(hr) ((HRESULT)(hr) >= 0)
#define FAILED(hr) ((HRESULT)(hr) < 0)
#define HRESULT_CODE(hr) ((hr) & 0xFFFF)
#define HRESULT_FROM_WIN32(x) \
    ((HRESULT)(x) <= 0 ? (HRESULT)(x) : (HRESULT)(((uint32_t)(x) & 0xFFFFu) | 0x80070000u))

#define S_OK ((HRESULT)0)
#define S_FALSE ((HRESULT)1)
#define E_NOTIMPL ((HRESULT)0x80004001)
#define E_NOINTERFACE ((HRESULT)0x80004002)
#define E_POINTER ((HRESULT)0x80004003)
#define E_ABORT ((HRESULT)0x80004004)
#define E_FAIL ((HRESULT)0x80004005)
#define E_UNEXPECTED ((HRESULT)0x8000FFFF)
#define E_ACCESSDENIED ((HRESULT)0x80070005)
#define E_OUTOFMEMORY ((HRESULT)0x8007000E)
#define E_INVALIDARG ((HRESULT)0x80070057)
#define DISP_E_UNKNOWNINTERFACE ((HRESULT)0x80020001)
#define DISP_E_MEMBERNOTFOUND ((HRESULT)0x80020003)
#define DISP_E_PARAMNOTFOUND ((HRESULT)0x80020004)
#define DISP_E_TYPEMISMATCH ((HRESULT)0x80020005)
#define DISP_E_UNKNOWNNAME ((HRESULT)0x80020006)
#define DISP_E_BADVARTYPE ((HRESULT)0x80020008)
#define DISP_E_EXCEPTION ((HRESULT)0x80020009)
#define DISP_E_OVERFLOW ((HRESULT)0x8002000A)
#define DISP_E_BADINDEX ((HRESULT)0x8002000B)
#define DISP_E_BADPARAMCOUNT ((HRESULT)0x8002000E)
#define DISP_E_PARAMNOTOPTIONAL ((HRESULT)0x8002000F)
#define CLASS_E_NOAGGREGATION ((HRESULT)0x80040110)
#define CLASS_E_CLASSNOTAVAILABLE ((HRESULT)0x80040111)
#define REGDB_E_CLASSNOTREG ((HRESULT)0x80040154)
#define CO_E_NOTINITIALIZED ((HRESULT)0x800401F0)
#define CO_E_CLASSSTRING ((HRESULT)0x800401F3)
#define CO_E_IIDSTRING ((HRESULT)0x800401F4)
#define RPC_E_CHANGED_MODE ((HRESULT)0x80010106)
#define RPC_E_TOO_LATE ((HRESULT)0x80010119)

/* For CoInitializeEx, CoInitializeSecurity and CoCreateInstance. */
typedef enum tagCOINIT {
    COINIT_MULTITHREADED = 0x0,
    COINIT_APARTMENTTHREADED = 0x2,
    COINIT_DISABLE_OLE1DDE = 0x4,
    COINIT_SPEED_OVER_MEMORY = 0x8
} COINIT;
typedef enum tagCLSCTX {
    CLSCTX_INPROC_SERVER = 0x1,
    CLSCTX_INPROC_HANDLER = 0x2,
    CLSCTX_LOCAL_SERVER = 0x4,
    CLSCTX_REMOTE_SERVER = 0x10
} CLSCTX;
#define CLSCTX_SERVER (CLSCTX_INPROC_SERVER | CLSCTX_LOCAL_SERVER | CLSCTX_REMOTE_SERVER)
#define CLSCTX_ALL (CLSCTX_SERVER | CLSCTX_INPROC_HANDLER)
#define CLSCTX_NO_CODE_DOWNLOAD 0x400
#define RPC_C_AUTHN_LEVEL_DEFAULT 0
#define RPC_C_AUTHN_LEVEL_NONE 1
#define RPC_C_AUTHN_LEVEL_CONNECT 2
#define RPC_C_AUTHN_LEVEL_CALL 3
#define RPC_C_AUTHN_LEVEL_PKT 4
#define RPC_C_AUTHN_LEVEL_PKT_INTEGRITY 5
#define RPC_C_AUTHN_LEVEL_PKT_PRIVACY 6
#define RPC_C_IMP_LEVEL_DEFAULT 0
#define RPC_C_IMP_LEVEL_ANONYMOUS 1
#define RPC_C_IMP_LEVEL_IDENTIFY 2
#define RPC_C_IMP_LEVEL_IMPERSONATE 3
#define RPC_C_IMP_LEVEL_DELEGATE 4
#define EOAC_NONE 0

/* Interfaces; declared below. */
typedef struct ITypeInfo ITypeInfo; /* There is no type information. */
typedef struct IUnknown IUnknown;
typedef struct IClassFactory IClassFactory;
typedef struct IDispatch IDispatch;
typedef struct IEnumVARIANT IEnumVARIANT;
typedef struct IEnumNetSharingPortMapping IEnumNetSharingPortMapping;
typedef struct IEnumNetSharingPublicConnection IEnumNetSharingPublicConnection;
typedef struct IEnumNetSharingPrivateConnection IEnumNetSharingPrivateConnection;
typedef struct IEnumNetSharingEveryConnection IEnumNetSharingEveryConnection;
typedef struct INetConnection INetConnection;
typedef struct IEnumNetConnection IEnumNetConnection;
typedef struct INetConnectionManager INetConnectionManager;
typedef struct INetConnectionProps INetConnectionProps;
typedef struct INetSharingPortMappingProps INetSharingPortMappingProps;
typedef struct INetSharingPortMapping INetSharingPortMapping;
typedef struct INetSharingPortMappingCollection INetSharingPortMappingCollection;
typedef struct INetSharingPublicConnectionCollection INetSharingPublicConnectionCollection;
typedef struct INetSharingPrivateConnectionCollection INetSharingPrivateConnectionCollection;
typedef struct INetSharingEveryConnectionCollection INetSharingEveryConnectionCollection;
typedef struct INetSharingConfiguration INetSharingConfiguration;
typedef struct INetSharingManager INetSharingManager;

/* Values of automation. */
enum VARENUM {
    VT_EMPTY = 0,
    VT_NULL = 1,
    VT_I2 = 2,
    VT_I4 = 3,
    VT_BSTR = 8,
    VT_DISPATCH = 9,
    VT_ERROR = 10,
    VT_BOOL = 11,
    VT_VARIANT = 12,
    VT_UNKNOWN = 13,
    VT_I1 = 16,
    VT_UI1 = 17,
    VT_UI2 = 18,
    VT_UI4 = 19,
    VT_I8 = 20,
    VT_UI8 = 21,
    VT_INT = 22,
    VT_UINT = 23,
    VT_ARRAY = 0x2000,
    VT_BYREF = 0x4000
};

typedef struct tagVARIANT VARIANT, VARIANTARG;
/* Holds a record; the widest of what a VARIANT can hold. */
typedef struct tagVARIANTRECORD {
    PVOID pvRecord;
    PVOID pRecInfo;
} VARIANTRECORD;
struct tagVARIANT {
    VARTYPE vt;
    WORD wReserved1;
    WORD wReserved2;
    WORD wReserved3;
    union {
        int8_t cVal;
        BYTE bVal;
        int16_t iVal;
        USHORT uiVal;
        VARIANT_BOOL boolVal;
        LONG lVal;
        ULONG ulVal;
        INT intVal;
        UINT uintVal;
        SCODE scode;
        LONGLONG llVal;
        ULONGLONG ullVal;
        BSTR bstrVal;
        IUnknown *punkVal;
        IDispatch *pdispVal;
        VARIANT *pvarVal;
        PVOID byref;
        VARIANTRECORD record;
    };
};

#define V_VT(x) ((x)->vt)
#define V_I1(x) ((x)->cVal)
#define V_UI1(x) ((x)->bVal)
#define V_I2(x) ((x)->iVal)
#define V_UI2(x) ((x)->uiVal)
#define V_I4(x) ((x)->lVal)
#define V_UI4(x) ((x)->ulVal)
#define V_INT(x) ((x)->intVal)
#define V_UINT(x) ((x)->uintVal)
#define V_I8(x) ((x)->llVal)
#define V_UI8(x) ((x)->ullVal)
#define V_BOOL(x) ((x)->boolVal)
#define V_ERROR(x) ((x)->scode)
#define V_BSTR(x) ((x)->bstrVal)
#define V_UNKNOWN(x) ((x)->punkVal)
#define V_DISPATCH(x) ((x)->pdispVal)
#define V_VARIANTREF(x) ((x)->pvarVal)
#define V_BYREF(x) ((x)->byref)

#define VARIANT_ALPHABOOL 0x2 /* VariantChangeType: truth as text is True and False, not -1 and 0 */

#define DISPATCH_METHOD 0x1
#define DISPATCH_PROPERTYGET 0x2
#define DISPATCH_PROPERTYPUT 0x4
#define DISPATCH_PROPERTYPUTREF 0x8
#define DISPID_UNKNOWN (-1)
#define DISPID_VALUE 0
#define DISPID_NEWENUM (-4)

/* The arguments of Invoke: named ones first, then the others, last one first. */
typedef struct tagDISPPARAMS {
    VARIANT *rgvarg;
    DISPID *rgdispidNamedArgs;
    UINT cArgs;
    UINT cNamedArgs;
} DISPPARAMS;

typedef struct tagEXCEPINFO {
    WORD wCode;
    WORD wReserved;
    BSTR bstrSource;
    BSTR bstrDescription;
    BSTR bstrHelpFile;
    DWORD dwHelpContext;
    PVOID pvReserved;
    HRESULT (WINAPI *pfnDeferredFillIn)(struct tagEXCEPINFO *);
    SCODE scode;
} EXCEPINFO;

/* Connections and sharing. */
#define NETCON_MAX_NAME_LEN 256

typedef enum tagSHARINGCONNECTIONTYPE {
    ICSSHARINGTYPE_PUBLIC = 0,
    ICSSHARINGTYPE_PRIVATE = 1
} SHARINGCONNECTIONTYPE;

/* For connections only ICSSC_DEFAULT is taken; for port mappings ICSSC_ENABLED means those that are enabled. */
typedef enum tagSHARINGCONNECTION_ENUM_FLAGS {
    ICSSC_DEFAULT = 0,
    ICSSC_ENABLED = 1
} SHARINGCONNECTION_ENUM_FLAGS;

typedef enum tagICS_TARGETTYPE {
    ICSTT_NAME = 0,
    ICSTT_IPADDRESS = 1
} ICS_TARGETTYPE;

typedef enum tagNETCONMGR_ENUM_FLAGS {
    NCME_DEFAULT = 0,
    NCME_HIDDEN = 1
} NETCONMGR_ENUM_FLAGS;

typedef enum tagNETCON_CHARACTERISTIC_FLAGS {
    NCCF_NONE = 0x0,
    NCCF_ALL_USERS = 0x1,
    NCCF_ALLOW_DUPLICATION = 0x2,
    NCCF_ALLOW_REMOVAL = 0x4,
    NCCF_ALLOW_RENAME = 0x8,
    NCCF_SHOW_ICON = 0x10,
    NCCF_INCOMING_ONLY = 0x20,
    NCCF_OUTGOING_ONLY = 0x40,
    NCCF_BRANDED = 0x80,
    NCCF_SHARED = 0x100,
    NCCF_BRIDGED = 0x200,
    NCCF_FIREWALLED = 0x400,
    NCCF_DEFAULT = 0x800,
    NCCF_HOMENET_CAPABLE = 0x1000,
    NCCF_SHARED_PRIVATE = 0x2000,
    NCCF_QUARANTINED = 0x4000,
    NCCF_RESERVED = 0x8000,
    NCCF_HOSTED_NETWORK = 0x10000,
    NCCF_VIRTUAL_STATION = 0x20000,
    NCCF_WIFI_DIRECT = 0x40000,
    NCCF_BLUETOOTH_MASK = 0xf0000,
    NCCF_LAN_MASK = 0xf00000
} NETCON_CHARACTERISTIC_FLAGS;

typedef enum tagNETCON_STATUS {
    NCS_DISCONNECTED = 0,
    NCS_CONNECTING = 1,
    NCS_CONNECTED = 2,
    NCS_DISCONNECTING = 3,
    NCS_HARDWARE_NOT_PRESENT = 4,
    NCS_HARDWARE_DISABLED = 5,
    NCS_HARDWARE_MALFUNCTION = 6,
    NCS_MEDIA_DISCONNECTED = 7,
    NCS_AUTHENTICATING = 8,
    NCS_AUTHENTICATION_SUCCEEDED = 9,
    NCS_AUTHENTICATION_FAILED = 10,
    NCS_INVALID_ADDRESS = 11,
    NCS_CREDENTIALS_REQUIRED = 12,
    NCS_ACTION_REQUIRED = 13,
    NCS_ACTION_REQUIRED_RETRY = 14,
    NCS_CONNECT_FAILED = 15
} NETCON_STATUS;

typedef enum tagNETCON_TYPE {
    NCT_DIRECT_CONNECT = 0,
    NCT_INBOUND = 1,
    NCT_INTERNET = 2,
    NCT_LAN = 3,
    NCT_PHONE = 4,
    NCT_TUNNEL = 5,
    NCT_BRIDGE = 6
} NETCON_TYPE;

typedef enum tagNETCON_MEDIATYPE {
    NCM_NONE = 0,
    NCM_DIRECT = 1,
    NCM_ISDN = 2,
    NCM_LAN = 3,
    NCM_PHONE = 4,
    NCM_TUNNEL = 5,
    NCM_PPPOE = 6,
    NCM_BRIDGE = 7,
    NCM_SHAREDACCESSHOST_LAN = 8,
    NCM_SHAREDACCESSHOST_RAS = 9
} NETCON_MEDIATYPE;

typedef struct tagNETCON_PROPERTIES {
    GUID guidId;
    LPWSTR pszwName;
    LPWSTR pszwDeviceName;
    NETCON_STATUS Status;
    NETCON_MEDIATYPE MediaType;
    DWORD dwCharacter;
    CLSID clsidThisObject;
    CLSID clsidUiObject;
} NETCON_PROPERTIES;

/* Identifiers, as data of the library. */
extern const GUID GUID_NULL;
extern const IID IID_NULL;
extern const CLSID CLSID_NetSharingManager;
extern const CLSID CLSID_ConnectionManager;
extern const IID IID_IUnknown;
extern const IID IID_IClassFactory;
extern const IID IID_IDispatch;
extern const IID IID_IEnumVARIANT;
extern const IID IID_IEnumNetSharingPortMapping;
extern const IID IID_IEnumNetSharingPublicConnection;
extern const IID IID_IEnumNetSharingPrivateConnection;
extern const IID IID_IEnumNetSharingEveryConnection;
extern const IID IID_INetConnection;
extern const IID IID_IEnumNetConnection;
extern const IID IID_INetConnectionManager;
extern const IID IID_INetConnectionProps;
extern const IID IID_INetSharingPortMappingProps;
extern const IID IID_INetSharingPortMapping;
extern const IID IID_INetSharingPortMappingCollection;
extern const IID IID_INetSharingPublicConnectionCollection;
extern const IID IID_INetSharingPrivateConnectionCollection;
extern const IID IID_INetSharingEveryConnectionCollection;
extern const IID IID_INetSharingConfiguration;
extern const IID IID_INetSharingManager;

/* Making objects. Program identifiers: HNetCfg.HNetShare, HNetCfg.HNetShare.1. */
HRESULT WINAPI CoInitialize(LPVOID pvReserved);
HRESULT WINAPI CoInitializeEx(LPVOID pvReserved, DWORD dwCoInit);
void WINAPI CoUninitialize(void);
HRESULT WINAPI CoInitializeSecurity(PVOID pSecDesc, LONG cAuthSvc, PVOID asAuthSvc, PVOID pReserved1, DWORD dwAuthnLevel,
                                    DWORD dwImpLevel, PVOID pAuthList, DWORD dwCapabilities, PVOID pReserved3);
HRESULT WINAPI CoCreateInstance(REFCLSID rclsid, IUnknown *pUnkOuter, DWORD dwClsContext, REFIID riid, LPVOID *ppv);
HRESULT WINAPI CLSIDFromProgID(LPCOLESTR lpszProgID, CLSID *lpclsid);
HRESULT WINAPI CLSIDFromString(LPCOLESTR lpsz, CLSID *pclsid);
HRESULT WINAPI IIDFromString(LPCOLESTR lpsz, IID *lpiid);
int WINAPI StringFromGUID2(REFGUID rguid, LPOLESTR lpsz, int cchMax);
HRESULT WINAPI DllGetClassObject(REFCLSID rclsid, REFIID riid, LPVOID *ppv);
HRESULT WINAPI DllCanUnloadNow(void);

/* Memory, strings and values. */
LPVOID WINAPI CoTaskMemAlloc(size_t cb);
LPVOID WINAPI CoTaskMemRealloc(LPVOID pv, size_t cb);
void WINAPI CoTaskMemFree(LPVOID pv);
BSTR WINAPI SysAllocString(const OLECHAR *psz);
BSTR WINAPI SysAllocStringLen(const OLECHAR *strIn, UINT ui);
BSTR WINAPI SysAllocStringByteLen(const char *psz, UINT len);
INT WINAPI SysReAllocString(BSTR *pbstr, const OLECHAR *psz);
INT WINAPI SysReAllocStringLen(BSTR *pbstr, const OLECHAR *psz, UINT len);
void WINAPI SysFreeString(BSTR bstrString);
UINT WINAPI SysStringLen(BSTR pbstr);
UINT WINAPI SysStringByteLen(BSTR bstr);
void WINAPI VariantInit(VARIANT *pvarg);
HRESULT WINAPI VariantClear(VARIANT *pvarg);
HRESULT WINAPI VariantCopy(VARIANT *pvargDest, const VARIANT *pvargSrc);
HRESULT WINAPI VariantChangeType(VARIANT *pvargDest, const VARIANT *pvarSrc, USHORT wFlags, VARTYPE vt);
void WINAPI NcFreeNetconProperties(NETCON_PROPERTIES *pProps);
BOOL WINAPI NcIsValidConnectionName(LPCWSTR pszwName);

#ifdef __cplusplus
} /* extern "C" */
#endif

#ifdef __cplusplus

struct IUnknown {
    virtual HRESULT WINAPI QueryInterface(REFIID riid, void **ppvObject) = 0;
    virtual ULONG WINAPI AddRef() = 0;
    virtual ULONG WINAPI Release() = 0;
};

struct IClassFactory : IUnknown {
    virtual HRESULT WINAPI CreateInstance(IUnknown *pUnkOuter, REFIID riid, void **ppvObject) = 0;
    virtual HRESULT WINAPI LockServer(BOOL fLock) = 0;
};

struct IDispatch : IUnknown {
    virtual HRESULT WINAPI GetTypeInfoCount(UINT *pctinfo) = 0;
    virtual HRESULT WINAPI GetTypeInfo(UINT iTInfo, LCID lcid, ITypeInfo **ppTInfo) = 0;
    virtual HRESULT WINAPI GetIDsOfNames(REFIID riid, LPOLESTR *rgszNames, UINT cNames, LCID lcid,
        DISPID *rgDispId) = 0;
    virtual HRESULT WINAPI Invoke(DISPID dispIdMember, REFIID riid, LCID lcid, WORD wFlags,
        DISPPARAMS *pDispParams, VARIANT *pVarResult, EXCEPINFO *pExcepInfo, UINT *puArgErr) = 0;
};

struct IEnumVARIANT : IUnknown {
    virtual HRESULT WINAPI Next(ULONG celt, VARIANT *rgVar, ULONG *pCeltFetched) = 0;
    virtual HRESULT WINAPI Skip(ULONG celt) = 0;
    virtual HRESULT WINAPI Reset() = 0;
    virtual HRESULT WINAPI Clone(IEnumVARIANT **ppEnum) = 0;
};

struct IEnumNetSharingPortMapping : IUnknown {
    virtual HRESULT WINAPI Next(ULONG celt, VARIANT *rgVar, ULONG *pceltFetched) = 0;
    virtual HRESULT WINAPI Skip(ULONG celt) = 0;
    virtual HRESULT WINAPI Reset() = 0;
    virtual HRESULT WINAPI Clone(IEnumNetSharingPortMapping **ppenum) = 0;
};

struct IEnumNetSharingPublicConnection : IUnknown {
    virtual HRESULT WINAPI Next(ULONG celt, VARIANT *rgVar, ULONG *pceltFetched) = 0;
    virtual HRESULT WINAPI Skip(ULONG celt) = 0;
    virtual HRESULT WINAPI Reset() = 0;
    virtual HRESULT WINAPI Clone(IEnumNetSharingPublicConnection **ppenum) = 0;
};

struct IEnumNetSharingPrivateConnection : IUnknown {
    virtual HRESULT WINAPI Next(ULONG celt, VARIANT *rgVar, ULONG *pceltFetched) = 0;
    virtual HRESULT WINAPI Skip(ULONG celt) = 0;
    virtual HRESULT WINAPI Reset() = 0;
    virtual HRESULT WINAPI Clone(IEnumNetSharingPrivateConnection **ppenum) = 0;
};

struct IEnumNetSharingEveryConnection : IUnknown {
    virtual HRESULT WINAPI Next(ULONG celt, VARIANT *rgVar, ULONG *pceltFetched) = 0;
    virtual HRESULT WINAPI Skip(ULONG celt) = 0;
    virtual HRESULT WINAPI Reset() = 0;
    virtual HRESULT WINAPI Clone(IEnumNetSharingEveryConnection **ppenum) = 0;
};

struct INetConnection : IUnknown {
    virtual HRESULT WINAPI Connect() = 0;
    virtual HRESULT WINAPI Disconnect() = 0;
    virtual HRESULT WINAPI Delete() = 0;
    virtual HRESULT WINAPI Duplicate(LPCWSTR pszwDuplicateName, INetConnection **ppCon) = 0;
    virtual HRESULT WINAPI GetProperties(NETCON_PROPERTIES **ppProps) = 0;
    virtual HRESULT WINAPI GetUiObjectClassId(CLSID *pclsid) = 0;
    virtual HRESULT WINAPI Rename(LPCWSTR pszwNewName) = 0;
};

struct IEnumNetConnection : IUnknown {
    virtual HRESULT WINAPI Next(ULONG celt, INetConnection **rgelt, ULONG *pceltFetched) = 0;
    virtual HRESULT WINAPI Skip(ULONG celt) = 0;
    virtual HRESULT WINAPI Reset() = 0;
    virtual HRESULT WINAPI Clone(IEnumNetConnection **ppenum) = 0;
};

struct INetConnectionManager : IUnknown {
    virtual HRESULT WINAPI EnumConnections(NETCONMGR_ENUM_FLAGS Flags, IEnumNetConnection **ppEnum) = 0;
};

struct INetConnectionProps : IDispatch {
    virtual HRESULT WINAPI get_Guid(BSTR *pbstrGuid) = 0;
    virtual HRESULT WINAPI get_Name(BSTR *pbstrName) = 0;
    virtual HRESULT WINAPI get_DeviceName(BSTR *pbstrDeviceName) = 0;
    virtual HRESULT WINAPI get_Status(NETCON_STATUS *pStatus) = 0;
    virtual HRESULT WINAPI get_MediaType(NETCON_MEDIATYPE *pMediaType) = 0;
    virtual HRESULT WINAPI get_Characteristics(DWORD *pdwFlags) = 0;
};

struct INetSharingPortMappingProps : IDispatch {
    virtual HRESULT WINAPI get_Name(BSTR *pbstrName) = 0;
    virtual HRESULT WINAPI get_IPProtocol(UCHAR *pucIPProt) = 0;
    virtual HRESULT WINAPI get_ExternalPort(LONG *pusPort) = 0;
    virtual HRESULT WINAPI get_InternalPort(LONG *pusPort) = 0;
    virtual HRESULT WINAPI get_Options(LONG *pdwOptions) = 0;
    virtual HRESULT WINAPI get_TargetName(BSTR *pbstrTargetName) = 0;
    virtual HRESULT WINAPI get_TargetIPAddress(BSTR *pbstrTargetIPAddress) = 0;
    virtual HRESULT WINAPI get_Enabled(VARIANT_BOOL *pbool) = 0;
};

struct INetSharingPortMapping : IDispatch {
    virtual HRESULT WINAPI Disable() = 0;
    virtual HRESULT WINAPI Enable() = 0;
    virtual HRESULT WINAPI get_Properties(INetSharingPortMappingProps **ppNSPMP) = 0;
    virtual HRESULT WINAPI Delete() = 0;
};

struct INetSharingPortMappingCollection : IDispatch {
    virtual HRESULT WINAPI get__NewEnum(IUnknown **rVal) = 0;
    virtual HRESULT WINAPI get_Count(LONG *pVal) = 0;
};

struct INetSharingPublicConnectionCollection : IDispatch {
    virtual HRESULT WINAPI get__NewEnum(IUnknown **rVal) = 0;
    virtual HRESULT WINAPI get_Count(LONG *pVal) = 0;
};

struct INetSharingPrivateConnectionCollection : IDispatch {
    virtual HRESULT WINAPI get__NewEnum(IUnknown **rVal) = 0;
    virtual HRESULT WINAPI get_Count(LONG *pVal) = 0;
};

struct INetSharingEveryConnectionCollection : IDispatch {
    virtual HRESULT WINAPI get__NewEnum(IUnknown **rVal) = 0;
    virtual HRESULT WINAPI get_Count(LONG *pVal) = 0;
};

struct INetSharingConfiguration : IDispatch {
    virtual HRESULT WINAPI get_SharingEnabled(VARIANT_BOOL *pbEnabled) = 0;
    virtual HRESULT WINAPI get_SharingConnectionType(SHARINGCONNECTIONTYPE *pType) = 0;
    virtual HRESULT WINAPI DisableSharing() = 0;
    virtual HRESULT WINAPI EnableSharing(SHARINGCONNECTIONTYPE Type) = 0;
    virtual HRESULT WINAPI get_InternetFirewallEnabled(VARIANT_BOOL *pbEnabled) = 0;
    virtual HRESULT WINAPI DisableInternetFirewall() = 0;
    virtual HRESULT WINAPI EnableInternetFirewall() = 0;
    virtual HRESULT WINAPI get_EnumPortMappings(SHARINGCONNECTION_ENUM_FLAGS Flags,
        INetSharingPortMappingCollection **ppColl) = 0;
    virtual HRESULT WINAPI AddPortMapping(BSTR bstrName, UCHAR ucIPProtocol, USHORT usExternalPort,
        USHORT usInternalPort, DWORD dwOptions, BSTR bstrTargetNameOrIPAddress, ICS_TARGETTYPE eTargetType,
        INetSharingPortMapping **ppMapping) = 0;
    virtual HRESULT WINAPI RemovePortMapping(INetSharingPortMapping *pMapping) = 0;
};

struct INetSharingManager : IDispatch {
    virtual HRESULT WINAPI get_SharingInstalled(VARIANT_BOOL *pbInstalled) = 0;
    virtual HRESULT WINAPI get_EnumPublicConnections(SHARINGCONNECTION_ENUM_FLAGS Flags,
        INetSharingPublicConnectionCollection **ppColl) = 0;
    virtual HRESULT WINAPI get_EnumPrivateConnections(SHARINGCONNECTION_ENUM_FLAGS Flags,
        INetSharingPrivateConnectionCollection **ppColl) = 0;
    virtual HRESULT WINAPI get_INetSharingConfigurationForINetConnection(INetConnection *pNetConnection,
        INetSharingConfiguration **ppNetSharingConfiguration) = 0;
    virtual HRESULT WINAPI get_EnumEveryConnection(INetSharingEveryConnectionCollection **ppColl) = 0;
    virtual HRESULT WINAPI get_NetConnectionProps(INetConnection *pNetConnection,
        INetConnectionProps **ppProps) = 0;
};

#else /* C */

typedef struct IUnknownVtbl {
    HRESULT (WINAPI *QueryInterface)(IUnknown *This, REFIID riid, void **ppvObject);
    ULONG (WINAPI *AddRef)(IUnknown *This);
    ULONG (WINAPI *Release)(IUnknown *This);
} IUnknownVtbl;
struct IUnknown {
    const IUnknownVtbl *lpVtbl;
};

typedef struct IClassFactoryVtbl {
    HRESULT (WINAPI *QueryInterface)(IClassFactory *This, REFIID riid, void **ppvObject);
    ULONG (WINAPI *AddRef)(IClassFactory *This);
    ULONG (WINAPI *Release)(IClassFactory *This);
    HRESULT (WINAPI *CreateInstance)(IClassFactory *This, IUnknown *pUnkOuter, REFIID riid, void **ppvObject);
    HRESULT (WINAPI *LockServer)(IClassFactory *This, BOOL fLock);
} IClassFactoryVtbl;
struct IClassFactory {
    const IClassFactoryVtbl *lpVtbl;
};

typedef struct IDispatchVtbl {
    HRESULT (WINAPI *QueryInterface)(IDispatch *This, REFIID riid, void **ppvObject);
    ULONG (WINAPI *AddRef)(IDispatch *This);
    ULONG (WINAPI *Release)(IDispatch *This);
    HRESULT (WINAPI *GetTypeInfoCount)(IDispatch *This, UINT *pctinfo);
    HRESULT (WINAPI *GetTypeInfo)(IDispatch *This, UINT iTInfo, LCID lcid, ITypeInfo **ppTInfo);
    HRESULT (WINAPI *GetIDsOfNames)(IDispatch *This, REFIID riid, LPOLESTR *rgszNames, UINT cNames, LCID lcid,
        DISPID *rgDispId);
    HRESULT (WINAPI *Invoke)(IDispatch *This, DISPID dispIdMember, REFIID riid, LCID lcid, WORD wFlags,
        DISPPARAMS *pDispParams, VARIANT *pVarResult, EXCEPINFO *pExcepInfo, UINT *puArgErr);
} IDispatchVtbl;
struct IDispatch {
    const IDispatchVtbl *lpVtbl;
};

typedef struct IEnumVARIANTVtbl {
    HRESULT (WINAPI *QueryInterface)(IEnumVARIANT *This, REFIID riid, void **ppvObject);
    ULONG (WINAPI *AddRef)(IEnumVARIANT *This);
    ULONG (WINAPI *Release)(IEnumVARIANT *This);
    HRESULT (WINAPI *Next)(IEnumVARIANT *This, ULONG celt, VARIANT *rgVar, ULONG *pCeltFetched);
    HRESULT (WINAPI *Skip)(IEnumVARIANT *This, ULONG celt);
    HRESULT (WINAPI *Reset)(IEnumVARIANT *This);
    HRESULT (WINAPI *Clone)(IEnumVARIANT *This, IEnumVARIANT **ppEnum);
} IEnumVARIANTVtbl;
struct IEnumVARIANT {
    const IEnumVARIANTVtbl *lpVtbl;
};

typedef struct IEnumNetSharingPortMappingVtbl {
    HRESULT (WINAPI *QueryInterface)(IEnumNetSharingPortMapping *This, REFIID riid, void **ppvObject);
    ULONG (WINAPI *AddRef)(IEnumNetSharingPortMapping *This);
    ULONG (WINAPI *Release)(IEnumNetSharingPortMapping *This);
    HRESULT (WINAPI *Next)(IEnumNetSharingPortMapping *This, ULONG celt, VARIANT *rgVar, ULONG *pceltFetched);
    HRESULT (WINAPI *Skip)(IEnumNetSharingPortMapping *This, ULONG celt);
    HRESULT (WINAPI *Reset)(IEnumNetSharingPortMapping *This);
    HRESULT (WINAPI *Clone)(IEnumNetSharingPortMapping *This, IEnumNetSharingPortMapping **ppenum);
} IEnumNetSharingPortMappingVtbl;
struct IEnumNetSharingPortMapping {
    const IEnumNetSharingPortMappingVtbl *lpVtbl;
};

typedef struct IEnumNetSharingPublicConnectionVtbl {
    HRESULT (WINAPI *QueryInterface)(IEnumNetSharingPublicConnection *This, REFIID riid, void **ppvObject);
    ULONG (WINAPI *AddRef)(IEnumNetSharingPublicConnection *This);
    ULONG (WINAPI *Release)(IEnumNetSharingPublicConnection *This);
    HRESULT (WINAPI *Next)(IEnumNetSharingPublicConnection *This, ULONG celt, VARIANT *rgVar,
        ULONG *pceltFetched);
    HRESULT (WINAPI *Skip)(IEnumNetSharingPublicConnection *This, ULONG celt);
    HRESULT (WINAPI *Reset)(IEnumNetSharingPublicConnection *This);
    HRESULT (WINAPI *Clone)(IEnumNetSharingPublicConnection *This, IEnumNetSharingPublicConnection **ppenum);
} IEnumNetSharingPublicConnectionVtbl;
struct IEnumNetSharingPublicConnection {
    const IEnumNetSharingPublicConnectionVtbl *lpVtbl;
};

typedef struct IEnumNetSharingPrivateConnectionVtbl {
    HRESULT (WINAPI *QueryInterface)(IEnumNetSharingPrivateConnection *This, REFIID riid, void **ppvObject);
    ULONG (WINAPI *AddRef)(IEnumNetSharingPrivateConnection *This);
    ULONG (WINAPI *Release)(IEnumNetSharingPrivateConnection *This);
    HRESULT (WINAPI *Next)(IEnumNetSharingPrivateConnection *This, ULONG celt, VARIANT *rgVar,
        ULONG *pceltFetched);
    HRESULT (WINAPI *Skip)(IEnumNetSharingPrivateConnection *This, ULONG celt);
    HRESULT (WINAPI *Reset)(IEnumNetSharingPrivateConnection *This);
    HRESULT (WINAPI *Clone)(IEnumNetSharingPrivateConnection *This,
        IEnumNetSharingPrivateConnection **ppenum);
} IEnumNetSharingPrivateConnectionVtbl;
struct IEnumNetSharingPrivateConnection {
    const IEnumNetSharingPrivateConnectionVtbl *lpVtbl;
};

typedef struct IEnumNetSharingEveryConnectionVtbl {
    HRESULT (WINAPI *QueryInterface)(IEnumNetSharingEveryConnection *This, REFIID riid, void **ppvObject);
    ULONG (WINAPI *AddRef)(IEnumNetSharingEveryConnection *This);
    ULONG (WINAPI *Release)(IEnumNetSharingEveryConnection *This);
    HRESULT (WINAPI *Next)(IEnumNetSharingEveryConnection *This, ULONG celt, VARIANT *rgVar,
        ULONG *pceltFetched);
    HRESULT (WINAPI *Skip)(IEnumNetSharingEveryConnection *This, ULONG celt);
    HRESULT (WINAPI *Reset)(IEnumNetSharingEveryConnection *This);
    HRESULT (WINAPI *Clone)(IEnumNetSharingEveryConnection *This, IEnumNetSharingEveryConnection **ppenum);
} IEnumNetSharingEveryConnectionVtbl;
struct IEnumNetSharingEveryConnection {
    const IEnumNetSharingEveryConnectionVtbl *lpVtbl;
};

typedef struct INetConnectionVtbl {
    HRESULT (WINAPI *QueryInterface)(INetConnection *This, REFIID riid, void **ppvObject);
    ULONG (WINAPI *AddRef)(INetConnection *This);
    ULONG (WINAPI *Release)(INetConnection *This);
    HRESULT (WINAPI *Connect)(INetConnection *This);
    HRESULT (WINAPI *Disconnect)(INetConnection *This);
    HRESULT (WINAPI *Delete)(INetConnection *This);
    HRESULT (WINAPI *Duplicate)(INetConnection *This, LPCWSTR pszwDuplicateName, INetConnection **ppCon);
    HRESULT (WINAPI *GetProperties)(INetConnection *This, NETCON_PROPERTIES **ppProps);
    HRESULT (WINAPI *GetUiObjectClassId)(INetConnection *This, CLSID *pclsid);
    HRESULT (WINAPI *Rename)(INetConnection *This, LPCWSTR pszwNewName);
} INetConnectionVtbl;
struct INetConnection {
    const INetConnectionVtbl *lpVtbl;
};

typedef struct IEnumNetConnectionVtbl {
    HRESULT (WINAPI *QueryInterface)(IEnumNetConnection *This, REFIID riid, void **ppvObject);
    ULONG (WINAPI *AddRef)(IEnumNetConnection *This);
    ULONG (WINAPI *Release)(IEnumNetConnection *This);
    HRESULT (WINAPI *Next)(IEnumNetConnection *This, ULONG celt, INetConnection **rgelt, ULONG *pceltFetched);
    HRESULT (WINAPI *Skip)(IEnumNetConnection *This, ULONG celt);
    HRESULT (WINAPI *Reset)(IEnumNetConnection *This);
    HRESULT (WINAPI *Clone)(IEnumNetConnection *This, IEnumNetConnection **ppenum);
} IEnumNetConnectionVtbl;
struct IEnumNetConnection {
    const IEnumNetConnectionVtbl *lpVtbl;
};

typedef struct INetConnectionManagerVtbl {
    HRESULT (WINAPI *QueryInterface)(INetConnectionManager *This, REFIID riid, void **ppvObject);
    ULONG (WINAPI *AddRef)(INetConnectionManager *This);
    ULONG (WINAPI *Release)(INetConnectionManager *This);
    HRESULT (WINAPI *EnumConnections)(INetConnectionManager *This, NETCONMGR_ENUM_FLAGS Flags,
        IEnumNetConnection **ppEnum);
} INetConnectionManagerVtbl;
struct INetConnectionManager {
    const INetConnectionManagerVtbl *lpVtbl;
};

typedef struct INetConnectionPropsVtbl {
    HRESULT (WINAPI *QueryInterface)(INetConnectionProps *This, REFIID riid, void **ppvObject);
    ULONG (WINAPI *AddRef)(INetConnectionProps *This);
    ULONG (WINAPI *Release)(INetConnectionProps *This);
    HRESULT (WINAPI *GetTypeInfoCount)(INetConnectionProps *This, UINT *pctinfo);
    HRESULT (WINAPI *GetTypeInfo)(INetConnectionProps *This, UINT iTInfo, LCID lcid, ITypeInfo **ppTInfo);
    HRESULT (WINAPI *GetIDsOfNames)(INetConnectionProps *This, REFIID riid, LPOLESTR *rgszNames, UINT cNames,
        LCID lcid, DISPID *rgDispId);
    HRESULT (WINAPI *Invoke)(INetConnectionProps *This, DISPID dispIdMember, REFIID riid, LCID lcid,
        WORD wFlags, DISPPARAMS *pDispParams, VARIANT *pVarResult, EXCEPINFO *pExcepInfo, UINT *puArgErr);
    HRESULT (WINAPI *get_Guid)(INetConnectionProps *This, BSTR *pbstrGuid);
    HRESULT (WINAPI *get_Name)(INetConnectionProps *This, BSTR *pbstrName);
    HRESULT (WINAPI *get_DeviceName)(INetConnectionProps *This, BSTR *pbstrDeviceName);
    HRESULT (WINAPI *get_Status)(INetConnectionProps *This, NETCON_STATUS *pStatus);
    HRESULT (WINAPI *get_MediaType)(INetConnectionProps *This, NETCON_MEDIATYPE *pMediaType);
    HRESULT (WINAPI *get_Characteristics)(INetConnectionProps *This, DWORD *pdwFlags);
} INetConnectionPropsVtbl;
struct INetConnectionProps {
    const INetConnectionPropsVtbl *lpVtbl;
};

typedef struct INetSharingPortMappingPropsVtbl {
    HRESULT (WINAPI *QueryInterface)(INetSharingPortMappingProps *This, REFIID riid, void **ppvObject);
    ULONG (WINAPI *AddRef)(INetSharingPortMappingProps *This);
    ULONG (WINAPI *Release)(INetSharingPortMappingProps *This);
    HRESULT (WINAPI *GetTypeInfoCount)(INetSharingPortMappingProps *This, UINT *pctinfo);
    HRESULT (WINAPI *GetTypeInfo)(INetSharingPortMappingProps *This, UINT iTInfo, LCID lcid,
        ITypeInfo **ppTInfo);
    HRESULT (WINAPI *GetIDsOfNames)(INetSharingPortMappingProps *This, REFIID riid, LPOLESTR *rgszNames,
        UINT cNames, LCID lcid, DISPID *rgDispId);
    HRESULT (WINAPI *Invoke)(INetSharingPortMappingProps *This, DISPID dispIdMember, REFIID riid, LCID lcid,
        WORD wFlags, DISPPARAMS *pDispParams, VARIANT *pVarResult, EXCEPINFO *pExcepInfo, UINT *puArgErr);
    HRESULT (WINAPI *get_Name)(INetSharingPortMappingProps *This, BSTR *pbstrName);
    HRESULT (WINAPI *get_IPProtocol)(INetSharingPortMappingProps *This, UCHAR *pucIPProt);
    HRESULT (WINAPI *get_ExternalPort)(INetSharingPortMappingProps *This, LONG *pusPort);
    HRESULT (WINAPI *get_InternalPort)(INetSharingPortMappingProps *This, LONG *pusPort);
    HRESULT (WINAPI *get_Options)(INetSharingPortMappingProps *This, LONG *pdwOptions);
    HRESULT (WINAPI *get_TargetName)(INetSharingPortMappingProps *This, BSTR *pbstrTargetName);
    HRESULT (WINAPI *get_TargetIPAddress)(INetSharingPortMappingProps *This, BSTR *pbstrTargetIPAddress);
    HRESULT (WINAPI *get_Enabled)(INetSharingPortMappingProps *This, VARIANT_BOOL *pbool);
} INetSharingPortMappingPropsVtbl;
struct INetSharingPortMappingProps {
    const INetSharingPortMappingPropsVtbl *lpVtbl;
};

typedef struct INetSharingPortMappingVtbl {
    HRESULT (WINAPI *QueryInterface)(INetSharingPortMapping *This, REFIID riid, void **ppvObject);
    ULONG (WINAPI *AddRef)(INetSharingPortMapping *This);
    ULONG (WINAPI *Release)(INetSharingPortMapping *This);
    HRESULT (WINAPI *GetTypeInfoCount)(INetSharingPortMapping *This, UINT *pctinfo);
    HRESULT (WINAPI *GetTypeInfo)(INetSharingPortMapping *This, UINT iTInfo, LCID lcid, ITypeInfo **ppTInfo);
    HRESULT (WINAPI *GetIDsOfNames)(INetSharingPortMapping *This, REFIID riid, LPOLESTR *rgszNames,
        UINT cNames, LCID lcid, DISPID *rgDispId);
    HRESULT (WINAPI *Invoke)(INetSharingPortMapping *This, DISPID dispIdMember, REFIID riid, LCID lcid,
        WORD wFlags, DISPPARAMS *pDispParams, VARIANT *pVarResult, EXCEPINFO *pExcepInfo, UINT *puArgErr);
    HRESULT (WINAPI *Disable)(INetSharingPortMapping *This);
    HRESULT (WINAPI *Enable)(INetSharingPortMapping *This);
    HRESULT (WINAPI *get_Properties)(INetSharingPortMapping *This, INetSharingPortMappingProps **ppNSPMP);
    HRESULT (WINAPI *Delete)(INetSharingPortMapping *This);
} INetSharingPortMappingVtbl;
struct INetSharingPortMapping {
    const INetSharingPortMappingVtbl *lpVtbl;
};

typedef struct INetSharingPortMappingCollectionVtbl {
    HRESULT (WINAPI *QueryInterface)(INetSharingPortMappingCollection *This, REFIID riid, void **ppvObject);
    ULONG (WINAPI *AddRef)(INetSharingPortMappingCollection *This);
    ULONG (WINAPI *Release)(INetSharingPortMappingCollection *This);
    HRESULT (WINAPI *GetTypeInfoCount)(INetSharingPortMappingCollection *This, UINT *pctinfo);
    HRESULT (WINAPI *GetTypeInfo)(INetSharingPortMappingCollection *This, UINT iTInfo, LCID lcid,
        ITypeInfo **ppTInfo);
    HRESULT (WINAPI *GetIDsOfNames)(INetSharingPortMappingCollection *This, REFIID riid, LPOLESTR *rgszNames,
        UINT cNames, LCID lcid, DISPID *rgDispId);
    HRESULT (WINAPI *Invoke)(INetSharingPortMappingCollection *This, DISPID dispIdMember, REFIID riid,
        LCID lcid, WORD wFlags, DISPPARAMS *pDispParams, VARIANT *pVarResult, EXCEPINFO *pExcepInfo,
        UINT *puArgErr);
    HRESULT (WINAPI *get__NewEnum)(INetSharingPortMappingCollection *This, IUnknown **rVal);
    HRESULT (WINAPI *get_Count)(INetSharingPortMappingCollection *This, LONG *pVal);
} INetSharingPortMappingCollectionVtbl;
struct INetSharingPortMappingCollection {
    const INetSharingPortMappingCollectionVtbl *lpVtbl;
};

typedef struct INetSharingPublicConnectionCollectionVtbl {
    HRESULT (WINAPI *QueryInterface)(INetSharingPublicConnectionCollection *This, REFIID riid,
        void **ppvObject);
    ULONG (WINAPI *AddRef)(INetSharingPublicConnectionCollection *This);
    ULONG (WINAPI *Release)(INetSharingPublicConnectionCollection *This);
    HRESULT (WINAPI *GetTypeInfoCount)(INetSharingPublicConnectionCollection *This, UINT *pctinfo);
    HRESULT (WINAPI *GetTypeInfo)(INetSharingPublicConnectionCollection *This, UINT iTInfo, LCID lcid,
        ITypeInfo **ppTInfo);
    HRESULT (WINAPI *GetIDsOfNames)(INetSharingPublicConnectionCollection *This, REFIID riid,
        LPOLESTR *rgszNames, UINT cNames, LCID lcid, DISPID *rgDispId);
    HRESULT (WINAPI *Invoke)(INetSharingPublicConnectionCollection *This, DISPID dispIdMember, REFIID riid,
        LCID lcid, WORD wFlags, DISPPARAMS *pDispParams, VARIANT *pVarResult, EXCEPINFO *pExcepInfo,
        UINT *puArgErr);
    HRESULT (WINAPI *get__NewEnum)(INetSharingPublicConnectionCollection *This, IUnknown **rVal);
    HRESULT (WINAPI *get_Count)(INetSharingPublicConnectionCollection *This, LONG *pVal);
} INetSharingPublicConnectionCollectionVtbl;
struct INetSharingPublicConnectionCollection {
    const INetSharingPublicConnectionCollectionVtbl *lpVtbl;
};

typedef struct INetSharingPrivateConnectionCollectionVtbl {
    HRESULT (WINAPI *QueryInterface)(INetSharingPrivateConnectionCollection *This, REFIID riid,
        void **ppvObject);
    ULONG (WINAPI *AddRef)(INetSharingPrivateConnectionCollection *This);
    ULONG (WINAPI *Release)(INetSharingPrivateConnectionCollection *This);
    HRESULT (WINAPI *GetTypeInfoCount)(INetSharingPrivateConnectionCollection *This, UINT *pctinfo);
    HRESULT (WINAPI *GetTypeInfo)(INetSharingPrivateConnectionCollection *This, UINT iTInfo, LCID lcid,
        ITypeInfo **ppTInfo);
    HRESULT (WINAPI *GetIDsOfNames)(INetSharingPrivateConnectionCollection *This, REFIID riid,
        LPOLESTR *rgszNames, UINT cNames, LCID lcid, DISPID *rgDispId);
    HRESULT (WINAPI *Invoke)(INetSharingPrivateConnectionCollection *This, DISPID dispIdMember, REFIID riid,
        LCID lcid, WORD wFlags, DISPPARAMS *pDispParams, VARIANT *pVarResult, EXCEPINFO *pExcepInfo,
        UINT *puArgErr);
    HRESULT (WINAPI *get__NewEnum)(INetSharingPrivateConnectionCollection *This, IUnknown **rVal);
    HRESULT (WINAPI *get_Count)(INetSharingPrivateConnectionCollection *This, LONG *pVal);
} INetSharingPrivateConnectionCollectionVtbl;
struct INetSharingPrivateConnectionCollection {
    const INetSharingPrivateConnectionCollectionVtbl *lpVtbl;
};

typedef struct INetSharingEveryConnectionCollectionVtbl {
    HRESULT (WINAPI *QueryInterface)(INetSharingEveryConnectionCollection *This, REFIID riid,
        void **ppvObject);
    ULONG (WINAPI *AddRef)(INetSharingEveryConnectionCollection *This);
    ULONG (WINAPI *Release)(INetSharingEveryConnectionCollection *This);
    HRESULT (WINAPI *GetTypeInfoCount)(INetSharingEveryConnectionCollection *This, UINT *pctinfo);
    HRESULT (WINAPI *GetTypeInfo)(INetSharingEveryConnectionCollection *This, UINT iTInfo, LCID lcid,
        ITypeInfo **ppTInfo);
    HRESULT (WINAPI *GetIDsOfNames)(INetSharingEveryConnectionCollection *This, REFIID riid,
        LPOLESTR *rgszNames, UINT cNames, LCID lcid, DISPID *rgDispId);
    HRESULT (WINAPI *Invoke)(INetSharingEveryConnectionCollection *This, DISPID dispIdMember, REFIID riid,
        LCID lcid, WORD wFlags, DISPPARAMS *pDispParams, VARIANT *pVarResult, EXCEPINFO *pExcepInfo,
        UINT *puArgErr);
    HRESULT (WINAPI *get__NewEnum)(INetSharingEveryConnectionCollection *This, IUnknown **rVal);
    HRESULT (WINAPI *get_Count)(INetSharingEveryConnectionCollection *This, LONG *pVal);
} INetSharingEveryConnectionCollectionVtbl;
struct INetSharingEveryConnectionCollection {
    const INetSharingEveryConnectionCollectionVtbl *lpVtbl;
};

typedef struct INetSharingConfigurationVtbl {
    HRESULT (WINAPI *QueryInterface)(INetSharingConfiguration *This, REFIID riid, void **ppvObject);
    ULONG (WINAPI *AddRef)(INetSharingConfiguration *This);
    ULONG (WINAPI *Release)(INetSharingConfiguration *This);
    HRESULT (WINAPI *GetTypeInfoCount)(INetSharingConfiguration *This, UINT *pctinfo);
    HRESULT (WINAPI *GetTypeInfo)(INetSharingConfiguration *This, UINT iTInfo, LCID lcid,
        ITypeInfo **ppTInfo);
    HRESULT (WINAPI *GetIDsOfNames)(INetSharingConfiguration *This, REFIID riid, LPOLESTR *rgszNames,
        UINT cNames, LCID lcid, DISPID *rgDispId);
    HRESULT (WINAPI *Invoke)(INetSharingConfiguration *This, DISPID dispIdMember, REFIID riid, LCID lcid,
        WORD wFlags, DISPPARAMS *pDispParams, VARIANT *pVarResult, EXCEPINFO *pExcepInfo, UINT *puArgErr);
    HRESULT (WINAPI *get_SharingEnabled)(INetSharingConfiguration *This, VARIANT_BOOL *pbEnabled);
    HRESULT (WINAPI *get_SharingConnectionType)(INetSharingConfiguration *This, SHARINGCONNECTIONTYPE *pType);
    HRESULT (WINAPI *DisableSharing)(INetSharingConfiguration *This);
    HRESULT (WINAPI *EnableSharing)(INetSharingConfiguration *This, SHARINGCONNECTIONTYPE Type);
    HRESULT (WINAPI *get_InternetFirewallEnabled)(INetSharingConfiguration *This, VARIANT_BOOL *pbEnabled);
    HRESULT (WINAPI *DisableInternetFirewall)(INetSharingConfiguration *This);
    HRESULT (WINAPI *EnableInternetFirewall)(INetSharingConfiguration *This);
    HRESULT (WINAPI *get_EnumPortMappings)(INetSharingConfiguration *This, SHARINGCONNECTION_ENUM_FLAGS Flags,
        INetSharingPortMappingCollection **ppColl);
    HRESULT (WINAPI *AddPortMapping)(INetSharingConfiguration *This, BSTR bstrName, UCHAR ucIPProtocol,
        USHORT usExternalPort, USHORT usInternalPort, DWORD dwOptions, BSTR bstrTargetNameOrIPAddress,
        ICS_TARGETTYPE eTargetType, INetSharingPortMapping **ppMapping);
    HRESULT (WINAPI *RemovePortMapping)(INetSharingConfiguration *This, INetSharingPortMapping *pMapping);
} INetSharingConfigurationVtbl;
struct INetSharingConfiguration {
    const INetSharingConfigurationVtbl *lpVtbl;
};

typedef struct INetSharingManagerVtbl {
    HRESULT (WINAPI *QueryInterface)(INetSharingManager *This, REFIID riid, void **ppvObject);
    ULONG (WINAPI *AddRef)(INetSharingManager *This);
    ULONG (WINAPI *Release)(INetSharingManager *This);
    HRESULT (WINAPI *GetTypeInfoCount)(INetSharingManager *This, UINT *pctinfo);
    HRESULT (WINAPI *GetTypeInfo)(INetSharingManager *This, UINT iTInfo, LCID lcid, ITypeInfo **ppTInfo);
    HRESULT (WINAPI *GetIDsOfNames)(INetSharingManager *This, REFIID riid, LPOLESTR *rgszNames, UINT cNames,
        LCID lcid, DISPID *rgDispId);
    HRESULT (WINAPI *Invoke)(INetSharingManager *This, DISPID dispIdMember, REFIID riid, LCID lcid,
        WORD wFlags, DISPPARAMS *pDispParams, VARIANT *pVarResult, EXCEPINFO *pExcepInfo, UINT *puArgErr);
    HRESULT (WINAPI *get_SharingInstalled)(INetSharingManager *This, VARIANT_BOOL *pbInstalled);
    HRESULT (WINAPI *get_EnumPublicConnections)(INetSharingManager *This, SHARINGCONNECTION_ENUM_FLAGS Flags,
        INetSharingPublicConnectionCollection **ppColl);
    HRESULT (WINAPI *get_EnumPrivateConnections)(INetSharingManager *This, SHARINGCONNECTION_ENUM_FLAGS Flags,
        INetSharingPrivateConnectionCollection **ppColl);
    HRESULT (WINAPI *get_INetSharingConfigurationForINetConnection)(INetSharingManager *This,
        INetConnection *pNetConnection, INetSharingConfiguration **ppNetSharingConfiguration);
    HRESULT (WINAPI *get_EnumEveryConnection)(INetSharingManager *This,
        INetSharingEveryConnectionCollection **ppColl);
    HRESULT (WINAPI *get_NetConnectionProps)(INetSharingManager *This, INetConnection *pNetConnection,
        INetConnectionProps **ppProps);
} INetSharingManagerVtbl;
struct INetSharingManager {
    const INetSharingManagerVtbl *lpVtbl;
};

/* Calls without lpVtbl: INetSharingManager_get_SharingInstalled(manager, &installed). */
#ifdef COBJMACROS
#define IUnknown_QueryInterface(This, riid, ppvObject) ((This)->lpVtbl->QueryInterface(This, riid, ppvObject))
#define IUnknown_AddRef(This) ((This)->lpVtbl->AddRef(This))
#define IUnknown_Release(This) ((This)->lpVtbl->Release(This))
#define IClassFactory_QueryInterface(This, riid, ppvObject) \
    ((This)->lpVtbl->QueryInterface(This, riid, ppvObject))
#define IClassFactory_AddRef(This) ((This)->lpVtbl->AddRef(This))
#define IClassFactory_Release(This) ((This)->lpVtbl->Release(This))
#define IClassFactory_CreateInstance(This, pUnkOuter, riid, ppvObject) \
    ((This)->lpVtbl->CreateInstance(This, pUnkOuter, riid, ppvObject))
#define IClassFactory_LockServer(This, fLock) ((This)->lpVtbl->LockServer(This, fLock))
#define IDispatch_QueryInterface(This, riid, ppvObject) \
    ((This)->lpVtbl->QueryInterface(This, riid, ppvObject))
#define IDispatch_AddRef(This) ((This)->lpVtbl->AddRef(This))
#define IDispatch_Release(This) ((This)->lpVtbl->Release(This))
#define IDispatch_GetTypeInfoCount(This, pctinfo) ((This)->lpVtbl->GetTypeInfoCount(This, pctinfo))
#define IDispatch_GetTypeInfo(This, iTInfo, lcid, ppTInfo) \
    ((This)->lpVtbl->GetTypeInfo(This, iTInfo, lcid, ppTInfo))
#define IDispatch_GetIDsOfNames(This, riid, rgszNames, cNames, lcid, rgDispId) \
    ((This)->lpVtbl->GetIDsOfNames(This, riid, rgszNames, cNames, lcid, rgDispId))
#define IDispatch_Invoke(This, dispIdMember, riid, lcid, wFlags, pDispParams, pVarResult, pExcepInfo, puArgErr) \
    ((This)->lpVtbl->Invoke(This, dispIdMember, riid, lcid, wFlags, pDispParams, pVarResult, pExcepInfo, puArgErr))
#define IEnumVARIANT_QueryInterface(This, riid, ppvObject) \
    ((This)->lpVtbl->QueryInterface(This, riid, ppvObject))
#define IEnumVARIANT_AddRef(This) ((This)->lpVtbl->AddRef(This))
#define IEnumVARIANT_Release(This) ((This)->lpVtbl->Release(This))
#define IEnumVARIANT_Next(This, celt, rgVar, pCeltFetched) \
    ((This)->lpVtbl->Next(This, celt, rgVar, pCeltFetched))
#define IEnumVARIANT_Skip(This, celt) ((This)->lpVtbl->Skip(This, celt))
#define IEnumVARIANT_Reset(This) ((This)->lpVtbl->Reset(This))
#define IEnumVARIANT_Clone(This, ppEnum) ((This)->lpVtbl->Clone(This, ppEnum))
#define IEnumNetSharingPortMapping_QueryInterface(This, riid, ppvObject) \
    ((This)->lpVtbl->QueryInterface(This, riid, ppvObject))
#define IEnumNetSharingPortMapping_AddRef(This) ((This)->lpVtbl->AddRef(This))
#define IEnumNetSharingPortMapping_Release(This) ((This)->lpVtbl->Release(This))
#define IEnumNetSharingPortMapping_Next(This, celt, rgVar, pceltFetched) \
    ((This)->lpVtbl->Next(This, celt, rgVar, pceltFetched))
#define IEnumNetSharingPortMapping_Skip(This, celt) ((This)->lpVtbl->Skip(This, celt))
#define IEnumNetSharingPortMapping_Reset(This) ((This)->lpVtbl->Reset(This))
#define IEnumNetSharingPortMapping_Clone(This, ppenum) ((This)->lpVtbl->Clone(This, ppenum))
#define IEnumNetSharingPublicConnection_QueryInterface(This, riid, ppvObject) \
    ((This)->lpVtbl->QueryInterface(This, riid, ppvObject))
#define IEnumNetSharingPublicConnection_AddRef(This) ((This)->lpVtbl->AddRef(This))
#define IEnumNetSharingPublicConnection_Release(This) ((This)->lpVtbl->Release(This))
#define IEnumNetSharingPublicConnection_Next(This, celt, rgVar, pceltFetched) \
    ((This)->lpVtbl->Next(This, celt, rgVar, pceltFetched))
#define IEnumNetSharingPublicConnection_Skip(This, celt) ((This)->lpVtbl->Skip(This, celt))
#define IEnumNetSharingPublicConnection_Reset(This) ((This)->lpVtbl->Reset(This))
#define IEnumNetSharingPublicConnection_Clone(This, ppenum) ((This)->lpVtbl->Clone(This, ppenum))
#define IEnumNetSharingPrivateConnection_QueryInterface(This, riid, ppvObject) \
    ((This)->lpVtbl->QueryInterface(This, riid, ppvObject))
#define IEnumNetSharingPrivateConnection_AddRef(This) ((This)->lpVtbl->AddRef(This))
#define IEnumNetSharingPrivateConnection_Release(This) ((This)->lpVtbl->Release(This))
#define IEnumNetSharingPrivateConnection_Next(This, celt, rgVar, pceltFetched) \
    ((This)->lpVtbl->Next(This, celt, rgVar, pceltFetched))
#define IEnumNetSharingPrivateConnection_Skip(This, celt) ((This)->lpVtbl->Skip(This, celt))
#define IEnumNetSharingPrivateConnection_Reset(This) ((This)->lpVtbl->Reset(This))
#define IEnumNetSharingPrivateConnection_Clone(This, ppenum) ((This)->lpVtbl->Clone(This, ppenum))
#define IEnumNetSharingEveryConnection_QueryInterface(This, riid, ppvObject) \
    ((This)->lpVtbl->QueryInterface(This, riid, ppvObject))
#define IEnumNetSharingEveryConnection_AddRef(This) ((This)->lpVtbl->AddRef(This))
#define IEnumNetSharingEveryConnection_Release(This) ((This)->lpVtbl->Release(This))
#define IEnumNetSharingEveryConnection_Next(This, celt, rgVar, pceltFetched) \
    ((This)->lpVtbl->Next(This, celt, rgVar, pceltFetched))
#define IEnumNetSharingEveryConnection_Skip(This, celt) ((This)->lpVtbl->Skip(This, celt))
#define IEnumNetSharingEveryConnection_Reset(This) ((This)->lpVtbl->Reset(This))
#define IEnumNetSharingEveryConnection_Clone(This, ppenum) ((This)->lpVtbl->Clone(This, ppenum))
#define INetConnection_QueryInterface(This, riid, ppvObject) \
    ((This)->lpVtbl->QueryInterface(This, riid, ppvObject))
#define INetConnection_AddRef(This) ((This)->lpVtbl->AddRef(This))
#define INetConnection_Release(This) ((This)->lpVtbl->Release(This))
#define INetConnection_Connect(This) ((This)->lpVtbl->Connect(This))
#define INetConnection_Disconnect(This) ((This)->lpVtbl->Disconnect(This))
#define INetConnection_Delete(This) ((This)->lpVtbl->Delete(This))
#define INetConnection_Duplicate(This, pszwDuplicateName, ppCon) \
    ((This)->lpVtbl->Duplicate(This, pszwDuplicateName, ppCon))
#define INetConnection_GetProperties(This, ppProps) ((This)->lpVtbl->GetProperties(This, ppProps))
#define INetConnection_GetUiObjectClassId(This, pclsid) ((This)->lpVtbl->GetUiObjectClassId(This, pclsid))
#define INetConnection_Rename(This, pszwNewName) ((This)->lpVtbl->Rename(This, pszwNewName))
#define IEnumNetConnection_QueryInterface(This, riid, ppvObject) \
    ((This)->lpVtbl->QueryInterface(This, riid, ppvObject))
#define IEnumNetConnection_AddRef(This) ((This)->lpVtbl->AddRef(This))
#define IEnumNetConnection_Release(This) ((This)->lpVtbl->Release(This))
#define IEnumNetConnection_Next(This, celt, rgelt, pceltFetched) \
    ((This)->lpVtbl->Next(This, celt, rgelt, pceltFetched))
#define IEnumNetConnection_Skip(This, celt) ((This)->lpVtbl->Skip(This, celt))
#define IEnumNetConnection_Reset(This) ((This)->lpVtbl->Reset(This))
#define IEnumNetConnection_Clone(This, ppenum) ((This)->lpVtbl->Clone(This, ppenum))
#define INetConnectionManager_QueryInterface(This, riid, ppvObject) \
    ((This)->lpVtbl->QueryInterface(This, riid, ppvObject))
#define INetConnectionManager_AddRef(This) ((This)->lpVtbl->AddRef(This))
#define INetConnectionManager_Release(This) ((This)->lpVtbl->Release(This))
#define INetConnectionManager_EnumConnections(This, Flags, ppEnum) \
    ((This)->lpVtbl->EnumConnections(This, Flags, ppEnum))
#define INetConnectionProps_QueryInterface(This, riid, ppvObject) \
    ((This)->lpVtbl->QueryInterface(This, riid, ppvObject))
#define INetConnectionProps_AddRef(This) ((This)->lpVtbl->AddRef(This))
#define INetConnectionProps_Release(This) ((This)->lpVtbl->Release(This))
#define INetConnectionProps_GetTypeInfoCount(This, pctinfo) ((This)->lpVtbl->GetTypeInfoCount(This, pctinfo))
#define INetConnectionProps_GetTypeInfo(This, iTInfo, lcid, ppTInfo) \
    ((This)->lpVtbl->GetTypeInfo(This, iTInfo, lcid, ppTInfo))
#define INetConnectionProps_GetIDsOfNames(This, riid, rgszNames, cNames, lcid, rgDispId) \
    ((This)->lpVtbl->GetIDsOfNames(This, riid, rgszNames, cNames, lcid, rgDispId))
#define INetConnectionProps_Invoke(This, dispIdMember, riid, lcid, wFlags, pDispParams, pVarResult, pExcepInfo, puArgErr) \
    ((This)->lpVtbl->Invoke(This, dispIdMember, riid, lcid, wFlags, pDispParams, pVarResult, pExcepInfo, puArgErr))
#define INetConnectionProps_get_Guid(This, pbstrGuid) ((This)->lpVtbl->get_Guid(This, pbstrGuid))
#define INetConnectionProps_get_Name(This, pbstrName) ((This)->lpVtbl->get_Name(This, pbstrName))
#define INetConnectionProps_get_DeviceName(This, pbstrDeviceName) \
    ((This)->lpVtbl->get_DeviceName(This, pbstrDeviceName))
#define INetConnectionProps_get_Status(This, pStatus) ((This)->lpVtbl->get_Status(This, pStatus))
#define INetConnectionProps_get_MediaType(This, pMediaType) ((This)->lpVtbl->get_MediaType(This, pMediaType))
#define INetConnectionProps_get_Characteristics(This, pdwFlags) \
    ((This)->lpVtbl->get_Characteristics(This, pdwFlags))
#define INetSharingPortMappingProps_QueryInterface(This, riid, ppvObject) \
    ((This)->lpVtbl->QueryInterface(This, riid, ppvObject))
#define INetSharingPortMappingProps_AddRef(This) ((This)->lpVtbl->AddRef(This))
#define INetSharingPortMappingProps_Release(This) ((This)->lpVtbl->Release(This))
#define INetSharingPortMappingProps_GetTypeInfoCount(This, pctinfo) \
    ((This)->lpVtbl->GetTypeInfoCount(This, pctinfo))
#define INetSharingPortMappingProps_GetTypeInfo(This, iTInfo, lcid, ppTInfo) \
    ((This)->lpVtbl->GetTypeInfo(This, iTInfo, lcid, ppTInfo))
#define INetSharingPortMappingProps_GetIDsOfNames(This, riid, rgszNames, cNames, lcid, rgDispId) \
    ((This)->lpVtbl->GetIDsOfNames(This, riid, rgszNames, cNames, lcid, rgDispId))
#define INetSharingPortMappingProps_Invoke(This, dispIdMember, riid, lcid, wFlags, pDispParams, pVarResult, pExcepInfo, puArgErr) \
    ((This)->lpVtbl->Invoke(This, dispIdMember, riid, lcid, wFlags, pDispParams, pVarResult, pExcepInfo, puArgErr))
#define INetSharingPortMappingProps_get_Name(This, pbstrName) ((This)->lpVtbl->get_Name(This, pbstrName))
#define INetSharingPortMappingProps_get_IPProtocol(This, pucIPProt) \
    ((This)->lpVtbl->get_IPProtocol(This, pucIPProt))
#define INetSharingPortMappingProps_get_ExternalPort(This, pusPort) \
    ((This)->lpVtbl->get_ExternalPort(This, pusPort))
#define INetSharingPortMappingProps_get_InternalPort(This, pusPort) \
    ((This)->lpVtbl->get_InternalPort(This, pusPort))
#define INetSharingPortMappingProps_get_Options(This, pdwOptions) \
    ((This)->lpVtbl->get_Options(This, pdwOptions))
#define INetSharingPortMappingProps_get_TargetName(This, pbstrTargetName) \
    ((This)->lpVtbl->get_TargetName(This, pbstrTargetName))
#define INetSharingPortMappingProps_get_TargetIPAddress(This, pbstrTargetIPAddress) \
    ((This)->lpVtbl->get_TargetIPAddress(This, pbstrTargetIPAddress))
#define INetSharingPortMappingProps_get_Enabled(This, pbool) ((This)->lpVtbl->get_Enabled(This, pbool))
#define INetSharingPortMapping_QueryInterface(This, riid, ppvObject) \
    ((This)->lpVtbl->QueryInterface(This, riid, ppvObject))
#define INetSharingPortMapping_AddRef(This) ((This)->lpVtbl->AddRef(This))
#define INetSharingPortMapping_Release(This) ((This)->lpVtbl->Release(This))
#define INetSharingPortMapping_GetTypeInfoCount(This, pctinfo) \
    ((This)->lpVtbl->GetTypeInfoCount(This, pctinfo))
#define INetSharingPortMapping_GetTypeInfo(This, iTInfo, lcid, ppTInfo) \
    ((This)->lpVtbl->GetTypeInfo(This, iTInfo, lcid, ppTInfo))
#define INetSharingPortMapping_GetIDsOfNames(This, riid, rgszNames, cNames, lcid, rgDispId) \
    ((This)->lpVtbl->GetIDsOfNames(This, riid, rgszNames, cNames, lcid, rgDispId))
#define INetSharingPortMapping_Invoke(This, dispIdMember, riid, lcid, wFlags, pDispParams, pVarResult, pExcepInfo, puArgErr) \
    ((This)->lpVtbl->Invoke(This, dispIdMember, riid, lcid, wFlags, pDispParams, pVarResult, pExcepInfo, puArgErr))
#define INetSharingPortMapping_Disable(This) ((This)->lpVtbl->Disable(This))
#define INetSharingPortMapping_Enable(This) ((This)->lpVtbl->Enable(This))
#define INetSharingPortMapping_get_Properties(This, ppNSPMP) ((This)->lpVtbl->get_Properties(This, ppNSPMP))
#define INetSharingPortMapping_Delete(This) ((This)->lpVtbl->Delete(This))
#define INetSharingPortMappingCollection_QueryInterface(This, riid, ppvObject) \
    ((This)->lpVtbl->QueryInterface(This, riid, ppvObject))
#define INetSharingPortMappingCollection_AddRef(This) ((This)->lpVtbl->AddRef(This))
#define INetSharingPortMappingCollection_Release(This) ((This)->lpVtbl->Release(This))
#define INetSharingPortMappingCollection_GetTypeInfoCount(This, pctinfo) \
    ((This)->lpVtbl->GetTypeInfoCount(This, pctinfo))
#define INetSharingPortMappingCollection_GetTypeInfo(This, iTInfo, lcid, ppTInfo) \
    ((This)->lpVtbl->GetTypeInfo(This, iTInfo, lcid, ppTInfo))
#define INetSharingPortMappingCollection_GetIDsOfNames(This, riid, rgszNames, cNames, lcid, rgDispId) \
    ((This)->lpVtbl->GetIDsOfNames(This, riid, rgszNames, cNames, lcid, rgDispId))
#define INetSharingPortMappingCollection_Invoke(This, dispIdMember, riid, lcid, wFlags, pDispParams, pVarResult, pExcepInfo, puArgErr) \
    ((This)->lpVtbl->Invoke(This, dispIdMember, riid, lcid, wFlags, pDispParams, pVarResult, pExcepInfo, puArgErr))
#define INetSharingPortMappingCollection_get__NewEnum(This, rVal) ((This)->lpVtbl->get__NewEnum(This, rVal))
#define INetSharingPortMappingCollection_get_Count(This, pVal) ((This)->lpVtbl->get_Count(This, pVal))
#define INetSharingPublicConnectionCollection_QueryInterface(This, riid, ppvObject) \
    ((This)->lpVtbl->QueryInterface(This, riid, ppvObject))
#define INetSharingPublicConnectionCollection_AddRef(This) ((This)->lpVtbl->AddRef(This))
#define INetSharingPublicConnectionCollection_Release(This) ((This)->lpVtbl->Release(This))
#define INetSharingPublicConnectionCollection_GetTypeInfoCount(This, pctinfo) \
    ((This)->lpVtbl->GetTypeInfoCount(This, pctinfo))
#define INetSharingPublicConnectionCollection_GetTypeInfo(This, iTInfo, lcid, ppTInfo) \
    ((This)->lpVtbl->GetTypeInfo(This, iTInfo, lcid, ppTInfo))
#define INetSharingPublicConnectionCollection_GetIDsOfNames(This, riid, rgszNames, cNames, lcid, rgDispId) \
    ((This)->lpVtbl->GetIDsOfNames(This, riid, rgszNames, cNames, lcid, rgDispId))
#define INetSharingPublicConnectionCollection_Invoke(This, dispIdMember, riid, lcid, wFlags, pDispParams, pVarResult, pExcepInfo, puArgErr) \
    ((This)->lpVtbl->Invoke(This, dispIdMember, riid, lcid, wFlags, pDispParams, pVarResult, pExcepInfo, puArgErr))
#define INetSharingPublicConnectionCollection_get__NewEnum(This, rVal) \
    ((This)->lpVtbl->get__NewEnum(This, rVal))
#define INetSharingPublicConnectionCollection_get_Count(This, pVal) ((This)->lpVtbl->get_Count(This, pVal))
#define INetSharingPrivateConnectionCollection_QueryInterface(This, riid, ppvObject) \
    ((This)->lpVtbl->QueryInterface(This, riid, ppvObject))
#define INetSharingPrivateConnectionCollection_AddRef(This) ((This)->lpVtbl->AddRef(This))
#define INetSharingPrivateConnectionCollection_Release(This) ((This)->lpVtbl->Release(This))
#define INetSharingPrivateConnectionCollection_GetTypeInfoCount(This, pctinfo) \
    ((This)->lpVtbl->GetTypeInfoCount(This, pctinfo))
#define INetSharingPrivateConnectionCollection_GetTypeInfo(This, iTInfo, lcid, ppTInfo) \
    ((This)->lpVtbl->GetTypeInfo(This, iTInfo, lcid, ppTInfo))
#define INetSharingPrivateConnectionCollection_GetIDsOfNames(This, riid, rgszNames, cNames, lcid, rgDispId) \
    ((This)->lpVtbl->GetIDsOfNames(This, riid, rgszNames, cNames, lcid, rgDispId))
#define INetSharingPrivateConnectionCollection_Invoke(This, dispIdMember, riid, lcid, wFlags, pDispParams, pVarResult, pExcepInfo, puArgErr) \
    ((This)->lpVtbl->Invoke(This, dispIdMember, riid, lcid, wFlags, pDispParams, pVarResult, pExcepInfo, puArgErr))
#define INetSharingPrivateConnectionCollection_get__NewEnum(This, rVal) \
    ((This)->lpVtbl->get__NewEnum(This, rVal))
#define INetSharingPrivateConnectionCollection_get_Count(This, pVal) ((This)->lpVtbl->get_Count(This, pVal))
#define INetSharingEveryConnectionCollection_QueryInterface(This, riid, ppvObject) \
    ((This)->lpVtbl->QueryInterface(This, riid, ppvObject))
#define INetSharingEveryConnectionCollection_AddRef(This) ((This)->lpVtbl->AddRef(This))
#define INetSharingEveryConnectionCollection_Release(This) ((This)->lpVtbl->Release(This))
#define INetSharingEveryConnectionCollection_GetTypeInfoCount(This, pctinfo) \
    ((This)->lpVtbl->GetTypeInfoCount(This, pctinfo))
#define INetSharingEveryConnectionCollection_GetTypeInfo(This, iTInfo, lcid, ppTInfo) \
    ((This)->lpVtbl->GetTypeInfo(This, iTInfo, lcid, ppTInfo))
#define INetSharingEveryConnectionCollection_GetIDsOfNames(This, riid, rgszNames, cNames, lcid, rgDispId) \
    ((This)->lpVtbl->GetIDsOfNames(This, riid, rgszNames, cNames, lcid, rgDispId))
#define INetSharingEveryConnectionCollection_Invoke(This, dispIdMember, riid, lcid, wFlags, pDispParams, pVarResult, pExcepInfo, puArgErr) \
    ((This)->lpVtbl->Invoke(This, dispIdMember, riid, lcid, wFlags, pDispParams, pVarResult, pExcepInfo, puArgErr))
#define INetSharingEveryConnectionCollection_get__NewEnum(This, rVal) \
    ((This)->lpVtbl->get__NewEnum(This, rVal))
#define INetSharingEveryConnectionCollection_get_Count(This, pVal) ((This)->lpVtbl->get_Count(This, pVal))
#define INetSharingConfiguration_QueryInterface(This, riid, ppvObject) \
    ((This)->lpVtbl->QueryInterface(This, riid, ppvObject))
#define INetSharingConfiguration_AddRef(This) ((This)->lpVtbl->AddRef(This))
#define INetSharingConfiguration_Release(This) ((This)->lpVtbl->Release(This))
#define INetSharingConfiguration_GetTypeInfoCount(This, pctinfo) \
    ((This)->lpVtbl->GetTypeInfoCount(This, pctinfo))
#define INetSharingConfiguration_GetTypeInfo(This, iTInfo, lcid, ppTInfo) \
    ((This)->lpVtbl->GetTypeInfo(This, iTInfo, lcid, ppTInfo))
#define INetSharingConfiguration_GetIDsOfNames(This, riid, rgszNames, cNames, lcid, rgDispId) \
    ((This)->lpVtbl->GetIDsOfNames(This, riid, rgszNames, cNames, lcid, rgDispId))
#define INetSharingConfiguration_Invoke(This, dispIdMember, riid, lcid, wFlags, pDispParams, pVarResult, pExcepInfo, puArgErr) \
    ((This)->lpVtbl->Invoke(This, dispIdMember, riid, lcid, wFlags, pDispParams, pVarResult, pExcepInfo, puArgErr))
#define INetSharingConfiguration_get_SharingEnabled(This, pbEnabled) \
    ((This)->lpVtbl->get_SharingEnabled(This, pbEnabled))
#define INetSharingConfiguration_get_SharingConnectionType(This, pType) \
    ((This)->lpVtbl->get_SharingConnectionType(This, pType))
#define INetSharingConfiguration_DisableSharing(This) ((This)->lpVtbl->DisableSharing(This))
#define INetSharingConfiguration_EnableSharing(This, Type) ((This)->lpVtbl->EnableSharing(This, Type))
#define INetSharingConfiguration_get_InternetFirewallEnabled(This, pbEnabled) \
    ((This)->lpVtbl->get_InternetFirewallEnabled(This, pbEnabled))
#define INetSharingConfiguration_DisableInternetFirewall(This) ((This)->lpVtbl->DisableInternetFirewall(This))
#define INetSharingConfiguration_EnableInternetFirewall(This) ((This)->lpVtbl->EnableInternetFirewall(This))
#define INetSharingConfiguration_get_EnumPortMappings(This, Flags, ppColl) \
    ((This)->lpVtbl->get_EnumPortMappings(This, Flags, ppColl))
#define INetSharingConfiguration_AddPortMapping(This, bstrName, ucIPProtocol, usExternalPort, usInternalPort, dwOptions, bstrTargetNameOrIPAddress, eTargetType, ppMapping) \
    ((This)->lpVtbl->AddPortMapping(This, bstrName, ucIPProtocol, usExternalPort, usInternalPort, dwOptions, bstrTargetNameOrIPAddress, eTargetType, ppMapping))
#define INetSharingConfiguration_RemovePortMapping(This, pMapping) \
    ((This)->lpVtbl->RemovePortMapping(This, pMapping))
#define INetSharingManager_QueryInterface(This, riid, ppvObject) \
    ((This)->lpVtbl->QueryInterface(This, riid, ppvObject))
#define INetSharingManager_AddRef(This) ((This)->lpVtbl->AddRef(This))
#define INetSharingManager_Release(This) ((This)->lpVtbl->Release(This))
#define INetSharingManager_GetTypeInfoCount(This, pctinfo) ((This)->lpVtbl->GetTypeInfoCount(This, pctinfo))
#define INetSharingManager_GetTypeInfo(This, iTInfo, lcid, ppTInfo) \
    ((This)->lpVtbl->GetTypeInfo(This, iTInfo, lcid, ppTInfo))
#define INetSharingManager_GetIDsOfNames(This, riid, rgszNames, cNames, lcid, rgDispId) \
    ((This)->lpVtbl->GetIDsOfNames(This, riid, rgszNames, cNames, lcid, rgDispId))
#define INetSharingManager_Invoke(This, dispIdMember, riid, lcid, wFlags, pDispParams, pVarResult, pExcepInfo, puArgErr) \
    ((This)->lpVtbl->Invoke(This, dispIdMember, riid, lcid, wFlags, pDispParams, pVarResult, pExcepInfo, puArgErr))
#define INetSharingManager_get_SharingInstalled(This, pbInstalled) \
    ((This)->lpVtbl->get_SharingInstalled(This, pbInstalled))
#define INetSharingManager_get_EnumPublicConnections(This, Flags, ppColl) \
    ((This)->lpVtbl->get_EnumPublicConnections(This, Flags, ppColl))
#define INetSharingManager_get_EnumPrivateConnections(This, Flags, ppColl) \
    ((This)->lpVtbl->get_EnumPrivateConnections(This, Flags, ppColl))
#define INetSharingManager_get_INetSharingConfigurationForINetConnection(This, pNetConnection, ppNetSharingConfiguration) \
    ((This)->lpVtbl->get_INetSharingConfigurationForINetConnection(This, pNetConnection, ppNetSharingConfiguration))
#define INetSharingManager_get_EnumEveryConnection(This, ppColl) \
    ((This)->lpVtbl->get_EnumEveryConnection(This, ppColl))
#define INetSharingManager_get_NetConnectionProps(This, pNetConnection, ppProps) \
    ((This)->lpVtbl->get_NetConnectionProps(This, pNetConnection, ppProps))
#endif /* COBJMACROS */

#endif /* C++ or C */

#ifdef __cplusplus
inline bool operator==(const GUID &a, const GUID &b) {
    bool same = a.Data1 == b.Data1 && a.Data2 == b.Data2 && a.Data3 == b.Data3;
    for (int i = 0; i < 8; i++) same = same && a.Data4[i] == b.Data4[i];
    return same;
}
inline bool operator!=(const GUID &a, const GUID &b) { return !(a == b); }

/* __uuidof(INetSharingManager), __uuidof(NetSharingManager) */
struct NetSharingManager;
struct ConnectionManager;
template <typename T> struct hostednet_uuid;
#define HOSTEDNET_UUIDOF(type, identifier) \
    template <> struct hostednet_uuid<type> { \
        static const GUID &value() { return identifier; } \
    };
HOSTEDNET_UUIDOF(NetSharingManager, CLSID_NetSharingManager)
HOSTEDNET_UUIDOF(ConnectionManager, CLSID_ConnectionManager)
HOSTEDNET_UUIDOF(IUnknown, IID_IUnknown)
HOSTEDNET_UUIDOF(IClassFactory, IID_IClassFactory)
HOSTEDNET_UUIDOF(IDispatch, IID_IDispatch)
HOSTEDNET_UUIDOF(IEnumVARIANT, IID_IEnumVARIANT)
HOSTEDNET_UUIDOF(IEnumNetSharingPortMapping, IID_IEnumNetSharingPortMapping)
HOSTEDNET_UUIDOF(IEnumNetSharingPublicConnection, IID_IEnumNetSharingPublicConnection)
HOSTEDNET_UUIDOF(IEnumNetSharingPrivateConnection, IID_IEnumNetSharingPrivateConnection)
HOSTEDNET_UUIDOF(IEnumNetSharingEveryConnection, IID_IEnumNetSharingEveryConnection)
HOSTEDNET_UUIDOF(INetConnection, IID_INetConnection)
HOSTEDNET_UUIDOF(IEnumNetConnection, IID_IEnumNetConnection)
HOSTEDNET_UUIDOF(INetConnectionManager, IID_INetConnectionManager)
HOSTEDNET_UUIDOF(INetConnectionProps, IID_INetConnectionProps)
HOSTEDNET_UUIDOF(INetSharingPortMappingProps, IID_INetSharingPortMappingProps)
HOSTEDNET_UUIDOF(INetSharingPortMapping, IID_INetSharingPortMapping)
HOSTEDNET_UUIDOF(INetSharingPortMappingCollection, IID_INetSharingPortMappingCollection)
HOSTEDNET_UUIDOF(INetSharingPublicConnectionCollection, IID_INetSharingPublicConnectionCollection)
HOSTEDNET_UUIDOF(INetSharingPrivateConnectionCollection, IID_INetSharingPrivateConnectionCollection)
HOSTEDNET_UUIDOF(INetSharingEveryConnectionCollection, IID_INetSharingEveryConnectionCollection)
HOSTEDNET_UUIDOF(INetSharingConfiguration, IID_INetSharingConfiguration)
HOSTEDNET_UUIDOF(INetSharingManager, IID_INetSharingManager)
#undef HOSTEDNET_UUIDOF
#ifndef __uuidof
#define __uuidof(type) (hostednet_uuid<type>::value())
#endif
#endif /* C++ */

#endif /* HOSTEDNET_NETCON_H */
