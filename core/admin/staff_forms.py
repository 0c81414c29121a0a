"""The forms of staff: an invitation, and the page of a person with one role."""

from typing import Any, Final

from django import forms
from django.contrib.auth.models import Group, User
from unfold.forms import UserChangeForm
from unfold.widgets import UnfoldAdminEmailInputWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from core.staff import rights

MAX_USER_NAME: Final = 150


class RoleField(forms.ModelChoiceField):
    """A choice of the roles that a person may give."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(Group.objects.none(), widget=UnfoldAdminSelectWidget, **kwargs)


class InvitationForm(forms.ModelForm):
    """A new colleague with a role. They choose their password themselves."""

    role = RoleField(empty_label="Choose one", help_text="What they can do. You can change it later.")
    inviter: User

    class Meta:
        model = User
        fields = ("email", "first_name", "last_name", "username")
        labels = {"email": "E-mail address", "username": "User name"}
        help_texts = {
            "email": "The invitation is sent here. If you leave it empty, you get the link and pass it on yourself.",
            "username": "What they log in with. If you leave it empty, it is the e-mail address.",
        }
        widgets = {
            "username": UnfoldAdminTextInputWidget,
            "email": UnfoldAdminEmailInputWidget,
            "first_name": UnfoldAdminTextInputWidget,
            "last_name": UnfoldAdminTextInputWidget,
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["role"].queryset = rights.assignable_roles(self.inviter)  # type: ignore[attr-defined]
        self.fields["username"].required = False

    def clean_email(self) -> str:
        email: str = self.cleaned_data["email"].strip()
        if email and User.objects.filter(email__iexact=email).exists():
            raise forms.ValidationError("Somebody with this address has an account already.")
        return email

    def clean(self) -> dict[str, Any]:
        """Let people log in with their address unless they have another user name."""
        data: dict[str, Any] = super().clean() or self.cleaned_data
        if not data.get("username") and "username" not in self.errors and "email" not in self.errors:
            if not data.get("email"):
                self.add_error("email", "Enter an e-mail address, or else a user name.")
            elif len(data["email"]) > MAX_USER_NAME:
                self.add_error("username", "The address is too long to log in with. Enter a user name.")
            else:
                data["username"] = data["email"].lower()
        return data


class PersonForm(UserChangeForm):
    """The page of a person: their names, and one role among those that the editor may give."""

    role = RoleField(required=False, empty_label="None", help_text="What they can do.")
    editor: User

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, label in (
            ("is_active", "May log in"),
            ("username", "User name"),
            ("email", "E-mail address"),
        ):
            if name in self.fields:
                self.fields[name].label = label
        if "is_active" in self.fields:
            self.fields[
                "is_active"
            ].help_text = "Turn this off for those who leave. Their entries in Activity stay."
        groups = list(self.instance.groups.order_by("name")) if self.instance.pk else []
        role: Any = self.fields.get("role")
        if role is None:
            return
        role.queryset = rights.assignable_roles(self.editor)
        if len(groups) > 1:
            role.empty_label = f"{' and '.join(group.name for group in groups)}, as before"
        elif groups:
            role.initial = groups[0].pk
        self._keeps_several = len(groups) > 1
        if self.instance.pk == self.editor.pk:
            role.disabled = self.fields["is_active"].disabled = True
            role.help_text = "Another administrator can change your role."

    def save_role(self) -> None:
        """Give the chosen role in place of all others. Several roles of an earlier version stay until one is chosen."""
        role = self.cleaned_data.get("role")
        if "role" in self.fields and not self.fields["role"].disabled and (role or not self._keeps_several):
            self.instance.groups.set([role] if role else [])
