import ArgumentParser
import Rudolph

/// The names that RUDOLPH_CPU may have, which the kernels themselves take or leave without a word.
enum InstructionSet: String, CaseIterable {
    case scalar, avx2, avxvnni, avx512, neon, dotprod, i8mm

    /// Those that processors of this architecture may have.
    private static var known: [InstructionSet] {
        #if arch(x86_64)
        [.scalar, .avx2, .avxvnni, .avx512]
        #elseif arch(arm64)
        [.scalar, .neon, .dotprod, .i8mm]
        #else
        [.scalar]
        #endif
    }

    private static var choice: String? {
        environmentVariable("RUDOLPH_CPU").flatMap { $0.isEmpty ? nil : $0 }
    }

    private static func list(_ sets: [InstructionSet]) -> String {
        sets.map(\.rawValue).joined(separator: ", ")
    }

    static func validateChoice() throws {
        guard let choice, InstructionSet(rawValue: choice) == nil else { return }
        throw ValidationError("RUDOLPH_CPU is \"\(printable(choice))\"; expected one of \(list(allCases))")
    }

    /// What to say of a name that another architecture has.
    static var warning: String? {
        guard let choice = choice.flatMap(InstructionSet.init(rawValue:)), !known.contains(choice) else { return nil }
        return "RUDOLPH_CPU is \(choice.rawValue), which no processor of this kind has; expected one of \(list(known))"
    }
}
