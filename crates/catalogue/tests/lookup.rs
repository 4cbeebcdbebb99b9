//! Boards and types are found by what people and tools call them.

use tessera_catalogue::{LookupError, catalogue};

#[test]
fn a_board_is_found_by_each_of_its_names() {
    for given in [
        "h100-pcie-80gb",
        "H100",
        "h100",
        "NVIDIA H100 PCIe 80 GB",
        "H100 PCIe 80 GB",
        "h100-pcie",
    ] {
        assert_eq!(catalogue().board(given).unwrap().id, "h100-pcie-80gb", "{given}");
    }
    for board in catalogue().boards() {
        assert_eq!(catalogue().board(&board.id).unwrap().id, board.id);
        assert_eq!(catalogue().board(&board.name).unwrap().id, board.id);
    }
}

#[test]
fn an_unclear_board_is_refused_with_the_choice() {
    let error = catalogue().board("DC").unwrap_err();
    assert!(
        matches!(&error, LookupError::AmbiguousBoard { ids, .. } if ids.len() == 2),
        "{error}"
    );
    let error = catalogue().board("a100-").unwrap_err();
    assert!(error.to_string().contains("a100-pcie-40gb"), "{error}");
    let error = catalogue().board("h100-90gb").unwrap_err();
    assert!(
        error.to_string().contains("it could be") && error.to_string().contains("h100-nvl"),
        "{error}"
    );
    assert!(catalogue().board("").is_err());
}

#[test]
fn a_board_is_found_by_its_pci_identity() {
    assert_eq!(
        catalogue().board_by_pci(0x2331, Some(0x1626)).unwrap().id,
        "h100-pcie-80gb"
    );
    assert_eq!(
        catalogue().board_by_pci(0x2331, None).unwrap().id,
        "h100-pcie-80gb"
    );
    assert_eq!(
        catalogue().board_by_pci(0x2331, Some(0xffff)).unwrap().id,
        "h100-pcie-80gb"
    );
    // A2 and A16 share the device id; only the subsystem tells them apart.
    assert!(catalogue().board_by_pci(0x25b6, None).is_none());
    assert_eq!(catalogue().board_by_pci(0x25b6, Some(0x157e)).unwrap().id, "a2");
    assert!(catalogue().board_by_pci(0xffff, None).is_none());
}

#[test]
fn a_type_is_found_by_name_full_name_and_number() {
    let board = catalogue().board("H100").unwrap();
    for given in ["H100-2-20C", "NVIDIA H100-2-20C", "h100-2-20c", "822"] {
        assert_eq!(board.vgpu_type(given).unwrap().name, "H100-2-20C", "{given}");
    }
    let (found, ty) = catalogue().type_by_id(822).unwrap();
    assert_eq!(
        (found.id.as_str(), ty.name.as_str()),
        ("h100-pcie-80gb", "H100-2-20C")
    );
    let error = board.vgpu_type("A100-20C").unwrap_err().to_string();
    assert!(
        error.contains("NVIDIA H100 PCIe 80 GB has no vGPU type `A100-20C`"),
        "{error}"
    );
    assert!(error.contains("H100-20C"), "{error}");
    assert_eq!(catalogue().types_named("NVIDIA H100-20C").count(), 1);
    assert_eq!(catalogue().types_named("DC-8C").count(), 2);
    assert_eq!(catalogue().types_named("X1-8C").count(), 0);
}

#[test]
fn a_guest_sees_the_full_name() {
    let board = catalogue().board("H100").unwrap();
    assert_eq!(
        board.device_name(board.vgpu_type("H100-20C").unwrap()),
        "NVIDIA H100-20C"
    );
    let board = catalogue().board("rtx-pro-6000-server").unwrap();
    let name = "NVIDIA RTX Pro 6000 Blackwell DC-4-24C";
    assert_eq!(board.device_name(board.vgpu_type(name).unwrap()), name);
}

#[test]
fn every_type_is_found_on_its_board() {
    for board in catalogue().boards() {
        for ty in &board.vgpu_types {
            assert!(std::ptr::eq(board.vgpu_type(&board.device_name(ty)).unwrap(), ty));
        }
    }
}
