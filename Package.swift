// swift-tools-version: 6.3
import PackageDescription

let package = Package(
    name: "rudolph",
    products: [
        .library(name: "Rudolph", targets: ["Rudolph"]),
        .library(name: "ImageFiles", targets: ["ImageFiles"]),
        .executable(name: "rudolph", targets: ["RudolphCommand"]),
        .executable(name: "rudolph-quant", targets: ["QuantCommand"]),
    ],
    dependencies: [
        // Tests know the exact words of its messages.
        .package(url: "https://github.com/apple/swift-argument-parser", .upToNextMinor(from: "1.8.2")),
    ],
    targets: [
        .target(
            name: "CKernels",
            path: "CKernels",
            linkerSettings: [.linkedLibrary("omp5"), .linkedLibrary("m")]
        ),
        .target(name: "CPlatform"),
        .target(name: "CRudolph"),
        .target(name: "Rudolph", dependencies: ["CKernels", "CPlatform", "CRudolph"]),
        .systemLibrary(name: "CPNG", path: "Sources/CPNG", pkgConfig: "libpng", providers: [.apt(["libpng-dev"])]),
        .systemLibrary(
            name: "CTurboJPEG", path: "Sources/CTurboJPEG", pkgConfig: "libturbojpeg", providers: [.apt(["libturbojpeg0-dev"])]),
        .target(name: "CImageFiles", dependencies: ["CPNG", "CTurboJPEG"]),
        .target(name: "ImageFiles", dependencies: ["CImageFiles", "CPlatform"]),
        .systemLibrary(name: "CCrypto", path: "Sources/CCrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        .target(name: "Converters", dependencies: ["Rudolph", "CKernels", "CPlatform", "CCrypto"], path: "Converters"),
        .target(
            name: "CommandSupport", dependencies: ["Rudolph", "CPlatform", .product(name: "ArgumentParser", package: "swift-argument-parser")]),
        .executableTarget(
            name: "RudolphCommand",
            dependencies: [
                "CommandSupport", "Rudolph", "ImageFiles", "CPlatform", .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),
        .executableTarget(
            name: "QuantCommand",
            dependencies: ["CommandSupport", "Converters", "Rudolph", .product(name: "ArgumentParser", package: "swift-argument-parser")]),
        .target(
            name: "MachineProbes", dependencies: ["CKernels"], path: "Benchmarks/MachineProbes",
            cSettings: [.headerSearchPath("../../CKernels")]),
        .executableTarget(
            name: "RudolphBenchmark",
            dependencies: [
                "Rudolph", "CKernels", "CPlatform", "ImageFiles", "MachineProbes",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            path: "Benchmarks/RudolphBenchmark"),
        .executableTarget(name: "rudolph-quality", dependencies: ["Rudolph", "Converters", "ImageFiles"], path: "Benchmarks/quality"),
        .testTarget(
            name: "RudolphTests",
            dependencies: ["Rudolph", "CRudolph", "Converters", "ImageFiles", "CKernels", "CPlatform", "RudolphCommand", "rudolph-quality"],
            path: "Tests/RudolphTests"),
        .testTarget(
            name: "ConvertersTests", dependencies: ["Converters", "Rudolph", "CKernels", "RudolphCommand", "rudolph-quality"],
            path: "Tests/ConvertersTests"),
        .testTarget(name: "CommandTests", dependencies: ["ImageFiles", "Rudolph"], path: "Tests/CommandTests"),
    ],
    swiftLanguageModes: [.v6]
)
