/// A JSON object on one line: keys in the order in which they were set, UTF-8 as it is, slashes not escaped.
struct JSONObject {
    private var members = ""

    private mutating func set(_ key: String, raw value: String) {
        if !members.isEmpty { members += ", " }
        members += "\(Self.quoted(key)): \(value)"
    }

    mutating func set(_ key: String, _ value: String) { set(key, raw: Self.quoted(value)) }
    mutating func set(_ key: String, _ value: UInt64) { set(key, raw: "\(value)") }
    mutating func set(_ key: String, _ value: Int) { set(key, raw: "\(value)") }
    /// What JSON has no number for becomes null.
    mutating func set(_ key: String, _ value: Float) { set(key, raw: value.isFinite ? "\(value)" : "null") }
    mutating func set(_ key: String, _ value: JSONObject) { set(key, raw: value.text) }
    mutating func set(_ key: String, _ values: [Int]) { set(key, list: values.map { "\($0)" }) }
    mutating func set(_ key: String, _ values: [String]) { set(key, list: values.map(Self.quoted)) }
    mutating func set(_ key: String, _ values: [JSONObject]) { set(key, list: values.map(\.text)) }

    private mutating func set(_ key: String, list values: [String]) {
        set(key, raw: "[" + values.joined(separator: ", ") + "]")
    }

    var text: String { "{\(members)}" }

    static func quoted(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": quoted += "\\\""
            case "\\": quoted += "\\\\"
            case "\n": quoted += "\\n"
            case "\r": quoted += "\\r"
            case "\t": quoted += "\\t"
            case "\0"..<" ", "\u{7f}"..."\u{9f}":
                let digits = String(scalar.value, radix: 16)
                quoted += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }
}
