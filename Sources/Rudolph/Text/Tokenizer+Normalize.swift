extension Tokenizer {
    /// What the reference does to a text before encoding it: Python's `text.lower().strip()`.
    ///
    /// Lower-casing is Unicode's full mapping with the final sigma; white space at both ends goes by Python's `str.isspace`.
    public static func lowercasedAndStripped(_ text: String) -> String {
        // Python lower-cases first: what comes before and after the stripped part is white space and has no case.
        let scalars = Array(stripped(text).unicodeScalars)
        var lowered = ""
        lowered.reserveCapacity(scalars.count)
        for position in scalars.indices {
            let scalar = scalars[position]
            if scalar.isASCII {
                let isUpper = ("A"..."Z").contains(scalar)
                lowered.unicodeScalars.append(isUpper ? Unicode.Scalar(UInt8(scalar.value) + 0x20) : scalar)
            } else if scalar == "Σ" {
                lowered.unicodeScalars.append(isFinalSigma(at: position, of: scalars) ? "ς" : "σ")
            } else {
                lowered += scalar.properties.lowercaseMapping
            }
        }
        return lowered
    }

    /// Python's `text.strip()`.
    public static func stripped(_ text: String) -> String {
        var rest = text.unicodeScalars[...]
        while let first = rest.first, isPythonSpace(first) { rest.removeFirst() }
        while let last = rest.last, isPythonSpace(last) { rest.removeLast() }
        return String(String.UnicodeScalarView(rest))
    }

    /// Unicode's Final_Sigma: a cased letter before it and none after it, letters that ignore case (accents, dots) not counted.
    private static func isFinalSigma(at position: Int, of scalars: [Unicode.Scalar]) -> Bool {
        guard let before = scalars[..<position].last(where: { !$0.properties.isCaseIgnorable }), before.properties.isCased
        else { return false }
        let after = scalars[(position + 1)...].first { !$0.properties.isCaseIgnorable }
        return after.map { !$0.properties.isCased } ?? true
    }

    /// Python's `str.isspace`, of one character.
    static func isPythonSpace(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x09...0x0D, 0x1C...0x20, 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000: true
        default: false
        }
    }
}
